"""Which labels a consumer serves, and who decides that: the fleet's placement, or one fixed queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from ..backends.base import Backend
from ..deployment import Deployment
from ..errors import TransportError
from ..fleet.placement import ConsumerCapacity
from ..labels import SINGLE_QUEUE_LABEL
from .in_flight import InFlight
from .loading import Loader
from .membership import Membership
from .metrics import ConsumerMetrics
from .placer import Placer
from .polling import POLLS_MAX, Polling
from .runner import JobRunner
from .slots import LoadedLabel, Slots

log = logging.getLogger(__name__)

#: A long poll returns within its wait time plus this.
POLL_MARGIN_SECONDS = 5.0


class Assignment(Protocol):
    """A consumer's labels, from its start to its end."""

    async def begin(self) -> None:
        """Serve the first labels, or join the fleet. Raises TransportError, and ModelLoadError where labels are fixed."""

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs as long as the consumer does."""

    async def drain(self) -> None:
        """Take no more labels; others may already load those that have work."""

    async def settled(self) -> None:
        """Wait until no label is about to be taken any more."""

    async def leave(self) -> None:
        """Unload all labels, and give what work is left to others."""

    async def lost(self, labels: Collection[str]) -> None:
        """The backend answers, but has lost these labels."""

    async def outage(self) -> None:
        """The backend is gone, and with it all labels."""

    async def restored(self) -> None:
        """The backend is back, without any labels."""

    async def close(self) -> None:
        """Stop the background work."""


class FixedQueue:
    """One queue of a fixed name, served by every consumer: nothing is placed, and nothing is written to the registry."""

    def __init__(
        self, deployment: Deployment, backend: Backend, slots: Slots, polling: Polling, queue_name: str
    ) -> None:
        self._deployment = deployment
        self._backend = backend
        self._slots = slots
        self._polling = polling
        self._queue_name = queue_name

    async def begin(self) -> None:
        loaded = LoadedLabel(SINGLE_QUEUE_LABEL, await self._deployment.queues.named(self._queue_name), lanes=POLLS_MAX)
        await self._backend.load(SINGLE_QUEUE_LABEL)
        self._slots.reserve(loaded)
        self._polling.begin(loaded)

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        return ()

    async def drain(self) -> None:
        return

    async def settled(self) -> None:
        return

    async def leave(self) -> None:
        await _unload_all(self._backend, self._slots)

    async def lost(self, labels: Collection[str]) -> None:
        return

    async def outage(self) -> None:
        self._slots.clear()

    async def restored(self) -> None:
        await self.begin()

    async def close(self) -> None:
        return


class PlacedLabels:
    """Labels as the fleet places them: this consumer has a row in the registry, and takes load requests."""

    def __init__(
        self,
        deployment: Deployment,
        backend: Backend,
        slots: Slots,
        polling: Polling,
        in_flight: InFlight,
        runner: JobRunner,
        metrics: ConsumerMetrics,
        capacity: ConsumerCapacity,
        consumer_id: str,
    ) -> None:
        self._deployment = deployment
        self._backend = backend
        self._slots = slots
        self._membership = Membership(deployment, slots, capacity, metrics, consumer_id)
        self._loader = Loader(
            deployment, backend, slots, polling, in_flight, runner, metrics, consumer_id, self._membership.publish
        )
        self._placer = Placer(deployment, slots, capacity, metrics, self._membership, self._loader)

    async def begin(self) -> None:
        await self._membership.publish()

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._membership.keep_lease(), self._placer.run())

    async def drain(self) -> None:
        self._membership.draining = True
        await quietly(self._membership.publish())
        await quietly(self._request_loads(self._slots))

    async def settled(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deployment.settings.wait_time_seconds + POLL_MARGIN_SECONDS):
                await self._placer.ended.wait()

    async def leave(self) -> None:
        registry, consumer_id = self._deployment.registry, self._membership.consumer_id
        held = list(self._slots)
        await _unload_all(self._backend, self._slots)
        for loaded in held:
            await registry.unclaim(loaded.label, consumer_id, loaded.lanes)
        await registry.leave(consumer_id)
        await self._request_loads(held)

    async def lost(self, labels: Collection[str]) -> None:
        for label in labels:
            await quietly(self._loader.give_up(label))

    async def outage(self) -> None:
        self._membership.available = False
        gone = self._slots.clear()
        await quietly(self._membership.publish())
        for loaded in gone:
            unclaiming = self._deployment.registry.unclaim(loaded.label, self._membership.consumer_id, loaded.lanes)
            await quietly(unclaiming)
            self._loader.follow(loaded.label)

    async def restored(self) -> None:
        self._membership.available = True
        await quietly(self._membership.publish())

    async def close(self) -> None:
        await self._loader.close()

    async def _request_loads(self, held: Iterable[LoadedLabel]) -> None:
        """Let other consumers load the labels that have work."""
        for loaded in held:
            await self._deployment.load_requests.send_if_work(loaded.label)


async def quietly(step: Coroutine[Any, Any, None]) -> None:
    """Run a step of a shutdown or outage: a failing call to AWS must not stop the steps after it."""
    try:
        await step
    except TransportError as error:
        log.warning("an AWS call failed; the consumer continues without it: %s", error)


async def _unload_all(backend: Backend, slots: Slots) -> None:
    for loaded in slots:
        with contextlib.suppress(Exception):
            await backend.unload(loaded.label)
