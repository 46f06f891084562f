"""Receipt handles in flight, and the one heartbeat that extends their visibility timeout."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass

from ..aio.tasks import TaskSet
from ..aws.queues import Queues, ReceivedMessage
from ..errors import TransportError

log = logging.getLogger(__name__)

#: The message of a finished job is deleted after this at the latest, even if others of its batch are still running.
DELETE_AFTER_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class Batch:
    """Messages of one receive; `open` counts those that are neither computed nor given back."""

    open: int


@dataclass(eq=False, slots=True)
class InFlightMessage:
    """A message that this consumer is responsible for, from its receive until it is deleted or given back.

    `lost` is set when SQS refuses to extend its visibility timeout: another consumer may have it.
    """

    url: str
    label: str
    received: ReceivedMessage
    batch: Batch
    lost: bool = False
    computed: bool = False
    #: The id under which the job's result is kept. For a redriven job it differs from the message's id.
    job_id: str = ""

    def settle(self) -> bool:
        """Mark the job as computed or given back. Returns whether others of its batch are still open."""
        if not self.computed:
            self.computed = True
            self.batch.open -= 1
        return self.batch.open > 0

    @property
    def log_extra(self) -> dict[str, str]:
        """Fields for every log record of this job."""
        return {"message_id": self.job_id or self.received.message_id, "label": self.label}


class InFlight:
    """All in-flight messages of a consumer.

    Visibility is extended by a constant, short step: however long a job has run, a crash hides it for at most one
    visibility timeout.
    """

    def __init__(self, queues: Queues, visibility_seconds: int, heartbeat_seconds: float) -> None:
        self._queues = queues
        self._visibility_seconds = visibility_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._open: set[InFlightMessage] = set()
        self._done: dict[str, list[InFlightMessage]] = {}
        self._flushes: TaskSet[None] = TaskSet()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, url: str, label: str, received: list[ReceivedMessage]) -> list[InFlightMessage]:
        """Take responsibility for messages from now on."""
        batch = Batch(len(received))
        messages = [InFlightMessage(url, label, one, batch) for one in received]
        self._open.update(messages)
        return messages

    def done(self, message: InFlightMessage) -> None:
        """Mark the job as finished. The next `flush` of its queue deletes the message, after DELETE_AFTER_SECONDS at the latest.

        A message group delivers nothing until all its received messages are deleted: deleting them one by one would gain
        nothing and cost a request each.
        """
        done = self._done.setdefault(message.url, [])
        done.append(message)
        if len(done) == 1:
            asyncio.get_running_loop().call_later(DELETE_AFTER_SECONDS, self._flush_later, message)

    async def flush(self, url: str) -> None:
        """Delete the messages of finished jobs from their queue."""
        done = self._done.pop(url, [])
        try:
            await self._queues.delete(url, [message.received.receipt_handle for message in done])
        except TransportError as error:
            # Their records are finished, so the next consumer that receives the messages deletes them.
            log.warning("%d messages not deleted: %s", len(done), error)
        finally:
            self._open.difference_update(done)

    def _flush_later(self, first: InFlightMessage) -> None:
        if first in self._done.get(first.url, ()):
            self._flushes.start(self.flush(first.url))

    async def give_back(self, messages: list[InFlightMessage], seconds: int = 0) -> None:
        """Make the messages visible to other consumers after `seconds`."""
        by_url: dict[str, list[str]] = defaultdict(list)
        for message in messages:
            message.settle()
            self._open.discard(message)
            by_url[message.url].append(message.received.receipt_handle)
        for url, handles in by_url.items():
            try:
                await self._queues.change_visibility(url, handles, seconds)
            except TransportError as error:
                log.warning(
                    "%d messages not given back; they become visible after their visibility timeout: %s",
                    len(handles),
                    error,
                )

    async def beat(self) -> None:
        """Extend visibility timeouts forever; one task for the whole consumer."""
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            by_url: dict[str, dict[str, InFlightMessage]] = defaultdict(dict)
            for message in self._open:
                by_url[message.url][message.received.receipt_handle] = message
            await asyncio.gather(*(self._extend(url, handles) for url, handles in by_url.items()))

    async def _extend(self, url: str, handles: dict[str, InFlightMessage]) -> None:
        try:
            refused = await self._queues.change_visibility(url, list(handles), self._visibility_seconds)
        except TransportError as error:
            log.warning("visibility timeout of %d messages not extended: %s", len(handles), error)
            return
        for handle in refused:
            if handles[handle] in self._open:
                handles[handle].lost = True
