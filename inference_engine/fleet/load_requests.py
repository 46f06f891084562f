"""Load requests: a label has work and too few holders.

A request is a message on the placement queue. Those cannot be counted by label, and without consumers nobody takes them. So
every request also leaves a row in the registry. The backlog metrics read the rows, besides the labels that are held, and remove
a row once they find its label served.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from dataclasses import dataclass

from ..aws.queues import Backlog, OutgoingMessage, Queues, ReceivedMessage
from ..aws.schema import RETENTION_SECONDS
from ..aws.tables import Rows
from ..aws.transport import Transport
from ..errors import DecodeError, TransportError
from ..labels import cell_of, placement_queue_name, slug
from ..settings import Settings

log = logging.getLogger(__name__)

#: The field of the message that says how many holders are wanted.
WIRE_HOLDERS = "hosts"
_PARTITION = "waiting"
_SWEEP = ("sweep", "cursor")
#: A row whose last request is more recent than this stays: SQS may not count the job behind that request yet.
FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A label that has waited `since` its first load request; its last one was sent at `requested_at` (both in Unix seconds)."""

    label: str
    since: float
    requested_at: float


class WaitingLabels:
    """The rows of waiting labels, and the position of the search for forgotten ones."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._rows = Rows(transport, table)

    async def record(self, label: str) -> None:
        """Record that a load request for the label is sent now."""
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
        """Remove a row; one whose last request is only a moment old stays, and its wait begins anew.

        Does nothing if another request was sent in between.
        """
        row, seen = (_PARTITION, waiting.label), {":seen": {"N": repr(waiting.requested_at)}}
        unchanged = "rung_at = :seen"
        if time.time() - waiting.requested_at < FRESH_SECONDS:
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


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A request that `label` have at least `holders` holders; `requested_at` is in Unix seconds."""

    label: str
    holders: int
    requested_at: float
    receive_count: int
    receipt_handle: str


class LoadRequests:
    """Sends and takes load requests."""

    def __init__(self, queues: Queues, waiting: WaitingLabels, settings: Settings) -> None:
        self._queues = queues
        self._waiting = waiting
        self._settings = settings

    async def _url(self, cell: int) -> str:
        return await self._queues.named(placement_queue_name(self._settings.prefix, cell, self._settings.cells))

    async def send(self, label: str, *, holders: int = 1, always: bool = False) -> None:
        """Ask for a holder. `always` is for a request that must not be dropped as a duplicate of an earlier one.

        Posts to one label within `host_cache_seconds` make one request. SQS remembers a deduplication id for five minutes,
        even after the message is deleted, so the time window is part of the id. Raises TransportError.
        """
        window = uuid.uuid4().hex if always else f"{holders}-{int(time.time() // self._settings.host_cache_seconds)}"
        name = slug(label, 80)
        body = json.dumps({"label": label, WIRE_HOLDERS: holders})
        url = await self._url(cell_of(label, self._settings.cells))
        sending = self._queues.send(url, OutgoingMessage(body, name, f"{name}-{window}"))
        await asyncio.gather(sending, *([self._record_waiting(label)] if holders == 1 else []))

    async def send_if_work(self, label: str) -> Backlog | None:
        """Ask for a holder if the label's queue is not empty. Returns the queue's backlog, or None if AWS fails."""
        try:
            backlog = await self._queues.backlog(await self._queues.of_label(label, create=True))
            if backlog.total:
                await self.send(label, always=True)
        except TransportError as error:
            log.warning("backlog not read or load request not sent: %s", error, extra={"label": label})
            return None
        return backlog

    async def _record_waiting(self, label: str) -> None:
        """Leave a row for the backlog metrics. Errors are only logged: the request itself is what matters to consumers."""
        try:
            await self._waiting.record(label)
        except TransportError as error:
            log.warning("label not recorded as waiting: %s", error, extra={"label": label})

    async def take(self, wait_seconds: int, most: int) -> list[LoadRequest]:
        """Take up to `most` requests of this consumer's cell, at most ten, after a long poll of at most `wait_seconds`."""
        url = await self._url(self._settings.cell)
        messages = await self._queues.receive(
            url,
            wait_seconds=wait_seconds,
            visibility_seconds=self._settings.visibility_timeout_seconds,
            max_messages=max(1, min(most, 10)),
        )
        requests = []
        for message in messages:
            try:
                requests.append(_request(message))
            except DecodeError as error:
                # Left on the queue, it would come back and hold up the requests in its message group for an hour.
                log.warning("deleting an invalid message from the placement queue: %s", error)
                await self._queues.delete(url, [message.receipt_handle])
        return requests

    async def waiting(self) -> int:
        """The approximate number of requests that nobody has taken."""
        return (await self._queues.backlog(await self._url(self._settings.cell))).visible

    async def done(self, request: LoadRequest) -> None:
        """Delete the request from the queue."""
        await self._queues.delete(await self._url(self._settings.cell), [request.receipt_handle])

    async def hand_back(self, request: LoadRequest, seconds: int = 0) -> None:
        """Make the request visible to other consumers after `seconds`."""
        await self._queues.change_visibility(await self._url(self._settings.cell), [request.receipt_handle], seconds)


def _request(message: ReceivedMessage) -> LoadRequest:
    try:
        fields = json.loads(message.body)
        return LoadRequest(
            str(fields["label"]),
            int(fields[WIRE_HOLDERS]),
            message.sent_at,
            message.receive_count,
            message.receipt_handle,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError(f"not a load request: {message.body[:80]!r}") from error
