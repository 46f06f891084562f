"""Labels that were rung for and may still wait for a host: what the backlog metrics look at besides the labels that are held.

A load request on the placement queue cannot be counted by label, and with no consumer nobody takes it. So whoever rings
leaves a row, and whoever finds the label served takes it away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from .rows import Rows
from .schema import RETENTION_SECONDS
from .session import Transport

_PARTITION = "waiting"
_SWEEP = ("sweep", "cursor")
#: A row that was rung for so lately stays: the job that it was rung for may not be counted by SQS yet.
FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A label that waits `since` the first ring (Unix seconds); the last one was at `rung_at`."""

    label: str
    since: float
    rung_at: float


class WaitingLabels:
    """The rows of labels that wait, and how far the search for forgotten ones has come."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._rows = Rows(transport, table)

    async def note(self, label: str) -> None:
        """The label was rung for, now."""
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
        """Take a row away; one that was rung for only a moment ago stays, and its wait begins anew.

        Nothing happens when it was rung for again in between.
        """
        row, seen = (_PARTITION, waiting.label), {":seen": {"N": repr(waiting.rung_at)}}
        unchanged = "rung_at = :seen"
        if time.time() - waiting.rung_at < FRESH_SECONDS:
            await self._rows.update(*row, "SET since = :seen", seen, ConditionExpression=unchanged)
        else:
            await self._rows.delete(*row, ConditionExpression=unchanged, ExpressionAttributeValues=seen)

    async def cursor(self) -> str | None:
        """Where the search through all queues goes on; None at the beginning."""
        item = await self._rows.get(*_SWEEP)
        return item["token"]["S"] if item and "token" in item else None

    async def move_cursor(self, token: str | None) -> None:
        """Go on from there the next time."""
        if token:
            await self._rows.put(*_SWEEP, {"token": {"S": token}})
        else:
            await self._rows.delete(*_SWEEP)
