"""Where a job goes: the queue, message group and lanes of its label, and whether a consumer must be asked to load it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from ..aio.single_flight import SharedRead
from ..deployment import Aws
from ..errors import LabelError, TransportError
from ..fleet.view import Fleet, LabelSettings
from ..labels import SINGLE_QUEUE_LABEL, cell_of, message_group

log = logging.getLogger(__name__)

#: Operators change label settings by hand and expect a delay of up to a minute.
LABEL_CACHE_SECONDS = 60.0


class Routes(Protocol):
    """How jobs find their queue."""

    async def queue_url(self, label: str) -> str:
        """URL of the queue for jobs of `label`."""

    async def group(self, label: str, deduplication_id: str) -> str:
        """The message group of a job."""

    async def wake(self, label: str) -> None:
        """Ensure that some consumer loads the label if none holds it."""

    async def remind(self, label: str) -> None:
        """Do the same for a label whose jobs were posted a while ago and may have been computed since."""

    async def close(self) -> None:
        """Stop the background work."""


class LabelRoutes:
    """One queue per label; rings the placement queue for labels without a live host."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._settings = aws.settings
        self._labels: dict[str, SharedRead[LabelSettings]] = {}
        self._fleets: dict[int, SharedRead[Fleet]] = {}
        self._rung: dict[str, float] = {}
        self._doubted: set[str] = set()
        self._doubting: asyncio.Task[None] | None = None

    async def queue_url(self, label: str) -> str:
        return await self._aws.queues.of_label(label)

    async def group(self, label: str, deduplication_id: str) -> str:
        if label not in self._labels:
            self._labels[label] = SharedRead(lambda: self._aws.registry.label(label))
        return message_group(label, deduplication_id, (await self._labels[label].get(LABEL_CACHE_SECONDS)).lanes)

    async def wake(self, label: str) -> None:
        trusted = self._fleet_read(label).age_seconds < self._settings.host_cache_seconds
        hosted = await self._hosted(label)
        if hosted and not trusted:
            return
        if not hosted and not await self._ring(label):
            return
        self._doubted.add(label)
        if self._doubting is None or self._doubting.done():
            self._doubting = asyncio.get_running_loop().create_task(self._confirm())

    async def remind(self, label: str) -> None:
        if not await self._hosted(label) and await self._has_work(label):
            await self._ring(label)

    async def close(self) -> None:
        if self._doubting is not None:
            self._doubting.cancel()
            await asyncio.gather(self._doubting, return_exceptions=True)
        await asyncio.gather(
            *(one.close() for one in self._labels.values()), *(one.close() for one in self._fleets.values())
        )

    async def _hosted(self, label: str) -> bool:
        fleet = await self._fleet_read(label).get(self._settings.host_cache_seconds)
        return bool(fleet.hosts(label, time.time()))

    def _fleet_read(self, label: str) -> SharedRead[Fleet]:
        """The consumers of the label's cell."""
        cell = cell_of(label, self._settings.cells)
        if cell not in self._fleets:
            self._fleets[cell] = SharedRead(lambda: self._aws.registry.fleet(cell))
        return self._fleets[cell]

    async def _ring(self, label: str) -> bool:
        now = time.monotonic()
        if self._rung.get(label, 0.0) > now:
            return False
        self._rung[label] = now + self._settings.host_cache_seconds
        await self._aws.load_requests.ring(label)
        return True

    async def _has_work(self, label: str) -> bool:
        """Whether the label's queue is not empty: since the post, a host may have come, done the work and left."""
        return (await self._aws.queues.backlog(await self._aws.queues.of_label(label))).total > 0

    async def _confirm(self) -> None:
        """Check again the labels that were rung for, and those whose host was known only from the cache.

        SQS may have dropped a ring as a duplicate of an earlier one, answered by a host that has left since. And a host that
        left between the reading of the registry and the post checked its queue too early to see the job. A host that the
        registry showed after the post sees the job when it leaves.
        """
        while self._doubted:
            await asyncio.sleep(self._settings.host_cache_seconds)
            doubted, self._doubted = self._doubted, set()
            try:
                for label in doubted:
                    await self.remind(label)
            except TransportError as error:
                log.warning("could not check whether labels have hosts: %s", error)


class SingleQueueRoutes:
    """One fixed queue that all consumers poll: nothing to place, and one message group per job so that all can share it."""

    def __init__(self, aws: Aws, queue_name: str) -> None:
        self._aws = aws
        self._queue_name = queue_name

    async def queue_url(self, label: str) -> str:
        if label != SINGLE_QUEUE_LABEL:
            raise LabelError(
                f"label {label!r} given to a producer of the single queue {self._queue_name!r}; "
                "leave label out, or make the producer without queue_name"
            )
        return await self._aws.queues.named(self._queue_name)

    async def group(self, label: str, deduplication_id: str) -> str:
        return deduplication_id

    async def wake(self, label: str) -> None:
        return

    async def remind(self, label: str) -> None:
        return

    async def close(self) -> None:
        return
