"""Receipt handles in flight, and the one heartbeat that keeps them invisible."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass

from ..aws.queues import Queues, ReceivedMessage
from ..errors import TransportError

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Delivery:
    """A message that this consumer answers for, from its receive until it is deleted or given back.

    `lost` is set when SQS would not extend its visibility any more: another consumer may have it.
    """

    url: str
    label: str
    message: ReceivedMessage
    lost: bool = False

    @property
    def log_extra(self) -> dict[str, str]:
        """What every log record of this job carries."""
        return {"message_id": self.message.message_id, "label": self.label}


class Deliveries:
    """All deliveries of a consumer.

    Visibility is extended by a constant, short step: however long a job has run, a crash hides it for no longer than
    one visibility timeout.
    """

    def __init__(self, queues: Queues, visibility_seconds: int, heartbeat_seconds: float) -> None:
        self._queues = queues
        self._visibility_seconds = visibility_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._open: set[Delivery] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, url: str, label: str, messages: list[ReceivedMessage]) -> list[Delivery]:
        """Answer for messages from now on."""
        deliveries = [Delivery(url, label, message) for message in messages]
        self._open.update(deliveries)
        return deliveries

    async def delete(self, delivery: Delivery) -> None:
        """The job is over: take its message off the queue."""
        try:
            await self._queues.delete(delivery.url, delivery.message.receipt_handle)
        except TransportError as error:
            # Its record is finished, so the message is deleted by whoever receives it next.
            log.warning("message not deleted: %s", error, extra=delivery.log_extra)
        finally:
            self._open.discard(delivery)

    async def give_back(self, deliveries: list[Delivery], seconds: int = 0) -> None:
        """Let other consumers have the messages, after `seconds`."""
        by_url: dict[str, list[str]] = defaultdict(list)
        for delivery in deliveries:
            self._open.discard(delivery)
            by_url[delivery.url].append(delivery.message.receipt_handle)
        for url, handles in by_url.items():
            try:
                await self._queues.change_visibility(url, handles, seconds)
            except TransportError as error:
                log.warning("%d messages come back only after their visibility timeout: %s", len(handles), error)

    async def beat(self) -> None:
        """Extend visibility, for ever; one task for the whole consumer."""
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            by_url: dict[str, dict[str, Delivery]] = defaultdict(dict)
            for delivery in self._open:
                by_url[delivery.url][delivery.message.receipt_handle] = delivery
            await asyncio.gather(*(self._extend(url, handles) for url, handles in by_url.items()))

    async def _extend(self, url: str, handles: dict[str, Delivery]) -> None:
        try:
            refused = await self._queues.change_visibility(url, list(handles), self._visibility_seconds)
        except TransportError as error:
            log.warning("visibility of %d messages not extended: %s", len(handles), error)
            return
        for handle in refused:
            if handles[handle] in self._open:
                handles[handle].lost = True
