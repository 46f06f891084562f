"""Load requests on the placement queue: a label has work and too few hosts."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from dataclasses import dataclass

from ..aws.queues import Backlog, OutgoingMessage, Queues, ReceivedMessage
from ..errors import DecodeError, TransportError
from ..labels import cell_of, placement_queue_name, slug
from ..settings import Settings
from .waiting import WaitingLabels

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A request that `label` have at least `hosts` hosts; `rung_at` is in Unix seconds."""

    label: str
    hosts: int
    rung_at: float
    receive_count: int
    receipt_handle: str


class LoadRequests:
    """Sends ("rings") and takes load requests."""

    def __init__(self, queues: Queues, waiting: WaitingLabels, settings: Settings) -> None:
        self._queues = queues
        self._waiting = waiting
        self._settings = settings

    async def _url(self, cell: int) -> str:
        return await self._queues.named(placement_queue_name(self._settings.prefix, cell, self._settings.cells))

    async def ring(self, label: str, *, hosts: int = 1, always: bool = False) -> None:
        """Ask for a host. `always` is for a ring that must not be dropped as a duplicate of an earlier one.

        Posts to one label within `host_cache_seconds` ring once. SQS remembers a deduplication id for five minutes, even after
        the message is deleted, so the time window is part of the id. Raises TransportError.
        """
        window = uuid.uuid4().hex if always else f"{hosts}-{int(time.time() // self._settings.host_cache_seconds)}"
        name = slug(label, 80)
        body = json.dumps({"label": label, "hosts": hosts})
        url = await self._url(cell_of(label, self._settings.cells))
        ring = self._queues.send(url, OutgoingMessage(body, name, f"{name}-{window}"))
        await asyncio.gather(ring, *([self._note(label)] if hosts == 1 else []))

    async def ring_if_work(self, label: str) -> Backlog | None:
        """Ask for a host if the label's queue is not empty. Returns the queue's backlog, or None if AWS fails."""
        try:
            backlog = await self._queues.backlog(await self._queues.of_label(label, create=True))
            if backlog.total:
                await self.ring(label, always=True)
        except TransportError as error:
            log.warning("backlog not read or load request not sent: %s", error, extra={"label": label})
            return None
        return backlog

    async def _note(self, label: str) -> None:
        """Leave a row for the backlog metrics. Errors are only logged: the request itself is what matters to consumers."""
        try:
            await self._waiting.note(label)
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
            str(fields["label"]), int(fields["hosts"]), message.sent_at, message.receive_count, message.receipt_handle
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError(f"not a load request: {message.body[:80]!r}") from error
