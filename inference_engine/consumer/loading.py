"""Loads a label into a slot (claim, evict, load, serve) and removes it again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from ..aio.tasks import TaskSet
from ..backends.base import Backend
from ..deployment import Deployment
from ..errors import BackendError, ModelLoadError, TransportError
from ..fleet.view import Fleet, LabelSettings, LoadFailure, ModelSignature
from ..jobs.job import JobFailure
from .in_flight import InFlight
from .metrics import ConsumerMetrics
from .polling import Polling
from .runner import JobRunner
from .slots import LoadedLabel, Slots, SlotState

log = logging.getLogger(__name__)

#: Maximum number of checks of the queue of a label that was given up, while messages are still in flight somewhere.
RECHECKS = 5
#: Another consumer may since have published another version's signature, which may stand in the registry this long.
TELL_AGAIN_SECONDS = 3600.0


class Loader:
    """Loads and unloads labels. `changed` is awaited when a load begins, so that the registry stays correct."""

    def __init__(
        self,
        deployment: Deployment,
        backend: Backend,
        slots: Slots,
        polling: Polling,
        in_flight: InFlight,
        runner: JobRunner,
        metrics: ConsumerMetrics,
        consumer_id: str,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._backend = backend
        self._slots = slots
        self._polling = polling
        self._in_flight = in_flight
        self._runner = runner
        self._metrics = metrics
        self._consumer_id = consumer_id
        self._changed = changed
        self._tasks: TaskSet[None] = TaskSet()
        #: Sizes of labels that this consumer has loaded before, in bytes: the best guess for the next load.
        self.sizes: dict[str, int] = {}
        #: The signatures published by this consumer, and when.
        self._told: dict[str, tuple[ModelSignature, float]] = {}

    async def load(
        self, settings: LabelSettings, holders: int, fleet: Fleet, choose: Callable[[], list[str] | None]
    ) -> bool:
        """Claim a label as one of its `holders` and load it; False if other consumers hold all places or no slot is available.

        `choose` returns the labels to evict (None: there is no room). It is called at the last moment, because other loads
        may have taken a slot that was free a moment ago. Raises ModelLoadError and BackendLostError after releasing the claim.
        """
        label = settings.label
        loaded = LoadedLabel(label, await self._deployment.queues.of_label(label, create=True))
        loaded.allow(settings)
        loaded.size_bytes = self.sizes.get(label, 0)
        if not await self._deployment.registry.claim(label, self._consumer_id, holders, fleet):
            return False
        victims = choose()
        if victims is None:
            await self._deployment.registry.unclaim(label, self._consumer_id, holders)
            return False
        leaving = self._slots.reserve(loaded, victims)
        try:
            # Published before the load, so that no other consumer answers the request that is still on its queue.
            await asyncio.gather(self._changed(), *(self._leave(victim) for victim in leaving))
            await self._slots.room()
            started = time.monotonic()
            model = await self._backend.load(label)
        except BaseException as error:
            self._slots.remove(loaded)
            if isinstance(error, ModelLoadError):
                # Recorded before the claim is released and the next consumer tries.
                log.error("load failed: %s", error, extra={"label": label})
                await self._deployment.registry.failed(label, str(error), self._settings.load_cooling_seconds)
            await self._deployment.registry.unclaim(label, self._consumer_id, holders)
            raise
        loaded.load_seconds = time.monotonic() - started
        loaded.size_bytes = self.sizes[label] = model.size_bytes
        self._metrics.loaded(label, loaded.load_seconds)
        log.info("loaded in %.2f s", loaded.load_seconds, extra={"label": label})
        if loaded.state is not SlotState.LOADING:
            # Given up while it was loading: nothing else would unload it.
            await self._backend.unload(label)
            return False
        self._polling.begin(loaded)
        self._tasks.start(self._describe(model.signature or ModelSignature(label=label)))
        return True

    async def give_up(self, label: str) -> None:
        """Stop serving a label, unload it, and ensure that its remaining work finds another holder."""
        loaded = self._slots.get(label)
        if loaded is not None and loaded.state is not SlotState.LEAVING:
            loaded.leave()
            await self._leave(loaded)

    async def _leave(self, loaded: LoadedLabel) -> None:
        """Unload and release a label that is leaving."""
        try:
            await loaded.emptied()
            await self._backend.unload(loaded.label)
        except BackendError as error:
            log.warning("unload failed: %s", error, extra={"label": loaded.label})
        finally:
            self._slots.remove(loaded)
        try:
            await self._deployment.registry.unclaim(loaded.label, self._consumer_id, loaded.lanes)
        finally:
            self.follow(loaded.label)

    def follow(self, label: str) -> None:
        """Watch the queue of a label that was given up, in the background."""
        self._tasks.start(self._request_if_needed(label))

    async def close(self) -> None:
        """Stop the background work."""
        await self._tasks.close()

    async def _describe(self, signature: ModelSignature) -> None:
        """Publish a model's signature unless this consumer did so recently. If that fails, the next load tries again."""
        if known := self._told.get(signature.label):
            told, at = known
            if told == signature and time.monotonic() - at < TELL_AGAIN_SECONDS:
                return
        try:
            await self._deployment.registry.describe(signature)
        except TransportError as error:
            log.warning("model signature not published: %s", error, extra={"label": signature.label})
        else:
            self._told[signature.label] = (signature, time.monotonic())

    async def _request_if_needed(self, label: str) -> None:
        """Request a load now, again once producers no longer cache the old holder, and while messages are in flight somewhere."""
        for turn in range(RECHECKS):
            backlog = await self._deployment.load_requests.send_if_work(label)
            if label in self._slots or (backlog and backlog.visible):
                return
            if turn and backlog and not backlog.total:
                return
            wait = self._settings.host_cache_seconds if turn == 0 else self._settings.visibility_timeout_seconds
            await asyncio.sleep(wait)

    async def fail_jobs(self, label: str, failure: LoadFailure) -> None:
        """Fail the jobs that wait for a label whose model cannot be loaded, with the reason."""
        url = await self._deployment.queues.of_label(label, create=True)
        reason = JobFailure(type=ModelLoadError.__name__, message=failure.reason)
        while received := await self._deployment.polls.receive(
            url, wait_seconds=0, visibility_seconds=self._settings.visibility_timeout_seconds
        ):
            messages = self._in_flight.add(url, label, received)
            await asyncio.gather(*(self._runner.fail(message, reason) for message in messages))
            await self._in_flight.flush(url)
