"""Labels that were rung for and may still wait for a host. The backlog metrics read these besides the labels that are held.

Load requests on the placement queue cannot be counted by label, and without consumers nobody takes them. So every ring
leaves a row, and the backlog metrics remove the row once they find the label served.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..aws.schema import RETENTION_SECONDS
from ..aws.tables import Rows
from ..aws.transport import Transport

_PARTITION = "waiting"
_SWEEP = ("sweep", "cursor")
#: A row whose last ring is more recent than this stays: SQS may not count the job behind that ring yet.
FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A label that has waited `since` its first ring; its last ring was at `rung_at` (both in Unix seconds)."""

    label: str
    since: float
    rung_at: float


class WaitingLabels:
    """The rows of waiting labels, and the position of the search for forgotten ones."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._rows = Rows(transport, table)

    async def note(self, label: str) -> None:
        """Record that the label was rung for now."""
        now = time.time()
        await self._rows.update(
            _PARTITION,
            label,
            "SET since = if_not_exists(since, :now), rung_at = :now, expires_at = :expires",
            # No message outlives its queue's retention.
            {":now": {"N": repr(now)}, ":expires": {"N": str(int(now + RETENTION_SECONDS))}},
        )

    async def all(self) -> list[Waiting]:
        """All rows, by label."""
        return [
            Waiting(item["sk"]["S"], float(item["since"]["N"]), float(item["rung_at"]["N"]))
            async for item in self._rows.of(_PARTITION)
        ]

    async def served(self, waiting: Waiting) -> None:
        """Remove a row; one that was rung for only a moment ago stays, and its wait begins anew.

        Does nothing if the label was rung for again in between.
        """
        row, seen = (_PARTITION, waiting.label), {":seen": {"N": repr(waiting.rung_at)}}
        unchanged = "rung_at = :seen"
        if time.time() - waiting.rung_at < FRESH_SECONDS:
            await self._rows.update(*row, "SET since = :seen", seen, ConditionExpression=unchanged)
        else:
            await self._rows.delete(*row, ConditionExpression=unchanged, ExpressionAttributeValues=seen)

    async def cursor(self) -> str | None:
        """Where the search through all queues continues; None at the beginning."""
        item = await self._rows.get(*_SWEEP)
        return item["token"]["S"] if item and "token" in item else None

    async def move_cursor(self, token: str | None) -> None:
        """Continue the search at `token` next time; None starts over."""
        if token:
            await self._rows.put(*_SWEEP, {"token": {"S": token}})
        else:
            await self._rows.delete(*_SWEEP)
