"""Where a job goes: the queue, message group and lanes of its label, and whether a consumer must be asked to load it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from ..aio.single_flight import SingleFlight
from ..deployment import Deployment
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

    async def ensure_loaded(self, label: str, *, recheck: bool = False) -> None:
        """Ensure that some consumer loads the label if none holds it. Raises TransportError.

        `recheck` is for jobs that were posted a while ago and may have been computed since.
        """

    async def close(self) -> None:
        """Stop the background work."""


class LabelRoutes:
    """One queue per label; requests a load for labels without a live holder."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._labels: dict[str, SingleFlight[LabelSettings]] = {}
        self._fleets: dict[int, SingleFlight[Fleet]] = {}
        self._requested_until: dict[str, float] = {}
        self._doubted: set[str] = set()
        self._doubting: asyncio.Task[None] | None = None

    async def queue_url(self, label: str) -> str:
        return await self._deployment.queues.of_label(label)

    async def group(self, label: str, deduplication_id: str) -> str:
        if label not in self._labels:
            self._labels[label] = SingleFlight(lambda: self._deployment.registry.label(label))
        return message_group(label, deduplication_id, (await self._labels[label].get(LABEL_CACHE_SECONDS)).lanes)

    async def ensure_loaded(self, label: str, *, recheck: bool = False) -> None:
        if recheck:
            await self._recheck(label)
            return
        trusted = self._fleet_read(label).age_seconds < self._settings.host_cache_seconds
        held = await self._is_held(label)
        if held and not trusted:
            return
        if not held and not await self._request_load(label):
            return
        self._doubted.add(label)
        if self._doubting is None or self._doubting.done():
            self._doubting = asyncio.get_running_loop().create_task(self._confirm())

    async def _recheck(self, label: str) -> None:
        if not await self._is_held(label) and await self._has_work(label):
            await self._request_load(label)

    async def close(self) -> None:
        if self._doubting is not None:
            self._doubting.cancel()
            await asyncio.gather(self._doubting, return_exceptions=True)
        await asyncio.gather(
            *(one.close() for one in self._labels.values()), *(one.close() for one in self._fleets.values())
        )

    async def _is_held(self, label: str) -> bool:
        fleet = await self._fleet_read(label).get(self._settings.host_cache_seconds)
        return bool(fleet.holders(label, time.time()))

    def _fleet_read(self, label: str) -> SingleFlight[Fleet]:
        """The consumers of the label's cell."""
        cell = cell_of(label, self._settings.cells)
        if cell not in self._fleets:
            self._fleets[cell] = SingleFlight(lambda: self._deployment.registry.fleet(cell))
        return self._fleets[cell]

    async def _request_load(self, label: str) -> bool:
        now = time.monotonic()
        if self._requested_until.get(label, 0.0) > now:
            return False
        self._requested_until[label] = now + self._settings.host_cache_seconds
        await self._deployment.load_requests.send(label)
        return True

    async def _has_work(self, label: str) -> bool:
        """Whether the label's queue is not empty: since the post, a holder may have come, done the work and left."""
        return (await self._deployment.queues.backlog(await self._deployment.queues.of_label(label))).total > 0

    async def _confirm(self) -> None:
        """Check again the labels that were requested, and those whose holder was known only from the cache.

        SQS may have dropped a request as a duplicate of an earlier one, answered by a holder that has left since. And one that
        left between the reading of the registry and the post checked its queue too early to see the job. A holder that the
        registry showed after the post sees the job when it leaves.
        """
        while self._doubted:
            await asyncio.sleep(self._settings.host_cache_seconds)
            doubted, self._doubted = self._doubted, set()
            try:
                for label in doubted:
                    await self._recheck(label)
            except TransportError as error:
                log.warning("could not check whether labels have holders: %s", error)


class SingleQueueRoutes:
    """One fixed queue that all consumers poll: nothing to place, and one message group per job so that all can share it."""

    def __init__(self, deployment: Deployment, queue_name: str) -> None:
        self._deployment = deployment
        self._queue_name = queue_name

    async def queue_url(self, label: str) -> str:
        if label != SINGLE_QUEUE_LABEL:
            raise LabelError(
                f"label {label!r} given to a producer of the single queue {self._queue_name!r}; "
                "leave label out, or make the producer without queue_name"
            )
        return await self._deployment.queues.named(self._queue_name)

    async def group(self, label: str, deduplication_id: str) -> str:
        return deduplication_id

    async def ensure_loaded(self, label: str, *, recheck: bool = False) -> None:
        return

    async def close(self) -> None:
        return
