"""Loads a label into a slot (claim, evict, load, serve) and removes it again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..backends.base import Backend
from ..deployment import Aws
from ..errors import BackendError, ModelLoadError, TransportError
from ..fleet.registry import LoadFailure
from ..fleet.view import Fleet, LabelSettings, ModelSignature
from ..jobs.job import JobFailure
from .in_flight import Deliveries
from .metrics import Metrics
from .runner import JobRunner
from .slots import Host, Hosting

log = logging.getLogger(__name__)

#: Maximum number of checks of the queue of a label that was given up, while messages are still in flight somewhere.
RECHECKS = 5
#: Another consumer may since have published another version's signature, which may stand in the registry this long.
TELL_AGAIN_SECONDS = 3600.0


class Loader:
    """Loads and unloads labels. `changed` is awaited when a load begins, so that the registry stays correct."""

    def __init__(
        self,
        aws: Aws,
        backend: Backend,
        hosting: Hosting,
        deliveries: Deliveries,
        runner: JobRunner,
        metrics: Metrics,
        consumer_id: str,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._aws = aws
        self._settings = aws.settings
        self._backend = backend
        self._hosting = hosting
        self._deliveries = deliveries
        self._runner = runner
        self._metrics = metrics
        self._consumer_id = consumer_id
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        #: Sizes of labels that this consumer has loaded before, in bytes: the best guess for the next load.
        self.sizes: dict[str, int] = {}
        #: The signatures published by this consumer, and when.
        self._told: dict[str, tuple[ModelSignature, float]] = {}

    async def load(
        self, settings: LabelSettings, hosts: int, fleet: Fleet, choose: Callable[[], list[str] | None]
    ) -> bool:
        """Claim a label as one of its `hosts` and load it; False if other consumers hold all places or no slot is available.

        `choose` returns the labels to evict (None: there is no room). It is called at the last moment, because other loads
        may have taken a slot that was free a moment ago. Raises ModelLoadError and BackendLostError after releasing the claim.
        """
        label = settings.label
        host = Host(label, await self._aws.queues.of_label(label, create=True))
        host.allow(settings)
        host.size_bytes = self.sizes.get(label, 0)
        if not await self._aws.registry.claim(label, self._consumer_id, hosts, fleet):
            return False
        victims = choose()
        if victims is None:
            await self._aws.registry.unclaim(label, self._consumer_id, hosts)
            return False
        leaving = self._hosting.reserve(host, victims)
        try:
            # Published before the load, so that no other consumer answers the request that is still on its queue.
            await asyncio.gather(self._changed(), *(self._leave(victim) for victim in leaving))
            await self._hosting.room()
            started = time.monotonic()
            model = await self._backend.load(label)
        except BaseException as error:
            self._hosting.hosts.pop(label, None)
            if isinstance(error, ModelLoadError):
                # Recorded before the claim is released and the next consumer tries.
                log.error("load failed: %s", error, extra={"label": label})
                await self._aws.registry.failed(label, str(error), self._settings.load_cooling_seconds)
            await self._aws.registry.unclaim(label, self._consumer_id, hosts)
            raise
        host.load_seconds = time.monotonic() - started
        host.size_bytes = self.sizes[label] = model.size_bytes
        self._metrics.loaded(label, host.load_seconds)
        log.info("loaded in %.2f s", host.load_seconds, extra={"label": label})
        if host.gone:
            # Given up while it was loading: nothing else would unload it.
            await self._backend.unload(label)
            return False
        self._hosting.serve(host)
        self._in_background(self._describe(model.signature or ModelSignature(label=label)))
        return True

    async def give_up(self, label: str) -> None:
        """Stop serving a label, unload it, and ensure that its remaining work finds another host."""
        host = self._hosting.hosts.get(label)
        if host is not None and not host.gone:
            host.ready, host.gone = False, True
            await self._leave(host)

    async def _leave(self, host: Host) -> None:
        """Unload and release a host that is marked as gone."""
        try:
            await self._hosting.emptied(host)
            await self._backend.unload(host.label)
        except BackendError as error:
            log.warning("unload failed: %s", error, extra={"label": host.label})
        finally:
            if self._hosting.hosts.get(host.label) is host:
                del self._hosting.hosts[host.label]
            host.left.set()
        try:
            await self._aws.registry.unclaim(host.label, self._consumer_id, host.lanes)
        finally:
            self.follow(host.label)

    def drop_all(self) -> list[Host]:
        """Forget all labels at once and return their hosts: the backend that held them is gone."""
        hosts = list(self._hosting.hosts.values())
        for host in hosts:
            host.ready, host.gone = False, True
            host.left.set()
        self._hosting.hosts.clear()
        return hosts

    def follow(self, label: str) -> None:
        """Watch the queue of a label that was given up, in the background."""
        self._in_background(self._ring_if_needed(label))

    async def close(self) -> None:
        """Stop the background work."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _describe(self, signature: ModelSignature) -> None:
        """Publish a model's signature unless this consumer did so recently. If that fails, the next load tries again."""
        if known := self._told.get(signature.label):
            told, at = known
            if told == signature and time.monotonic() - at < TELL_AGAIN_SECONDS:
                return
        try:
            await self._aws.registry.describe(signature)
        except TransportError as error:
            log.warning("model signature not published: %s", error, extra={"label": signature.label})
        else:
            self._told[signature.label] = (signature, time.monotonic())

    async def _ring_if_needed(self, label: str) -> None:
        """Ring now, again once producers no longer cache the old host, and while messages are in flight somewhere."""
        for turn in range(RECHECKS):
            backlog = await self._aws.load_requests.ring_if_work(label)
            if label in self._hosting.hosts or (backlog and backlog.visible):
                return
            if turn and backlog and not backlog.total:
                return
            wait = self._settings.host_cache_seconds if turn == 0 else self._settings.visibility_timeout_seconds
            await asyncio.sleep(wait)

    async def fail_jobs(self, label: str, failure: LoadFailure) -> None:
        """Fail the jobs that wait for a label whose model cannot be loaded, with the reason."""
        url = await self._aws.queues.of_label(label, create=True)
        reason = JobFailure(type=ModelLoadError.__name__, message=failure.reason)
        while messages := await self._aws.polls.receive(
            url, wait_seconds=0, visibility_seconds=self._settings.visibility_timeout_seconds
        ):
            deliveries = self._deliveries.add(url, label, messages)
            await asyncio.gather(*(self._runner.fail(delivery, reason) for delivery in deliveries))
            await self._deliveries.flush(url)
