"""One consumer's part in placement: its registry row, its place in the order, the load requests that it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time

from ..aws.connect import Aws
from ..aws.load_requests import LoadRequest
from ..backends.base import Backend
from ..errors import BackendLostError, DecodeError, LabelError, ModelLoadError, TransportError
from ..fleet import ConsumerView, Fleet
from . import placement
from .hosting import Hosting
from .loader import Loader
from .metrics import Metrics
from .placement import Capacity

log = logging.getLogger(__name__)

#: A view of the fleet younger than this is fresh enough to decide by.
FRESH_SECONDS = 0.2
#: A request that cannot be served now comes back after so long.
LATER_SECONDS = 1
#: A request that waited for so long is checked against the label's queue before a model is loaded for it.
VOID_AFTER_SECONDS = 10.0
#: Labels with more than one lane are looked at so often for a backlog that is worth another host.
HOSTS_CHECK_SECONDS = 5.0
#: Settings of the labels that are held are read again so often.
SETTINGS_SECONDS = 60.0
#: A backlog that the label's hosts work off within this time needs no other host.
HOSTS_TARGET_SECONDS = 10.0


class Placer:
    """Takes load requests when it is this consumer's turn, makes room, loads; tells the registry."""

    def __init__(
        self, aws: Aws, backend: Backend, hosting: Hosting, capacity: Capacity, metrics: Metrics, consumer_id: str
    ) -> None:
        self._aws = aws
        self._settings = aws.settings
        self._backend = backend
        self._hosting = hosting
        self._capacity = capacity
        self._metrics = metrics
        self._consumer_id = consumer_id
        self._fleet = Fleet()
        self._published: ConsumerView | None = None
        self._asked_hosts_at = 0.0
        self._settings_read_at = time.time()
        self.loader: Loader
        self.available = True
        self.draining = False

    def view(self) -> ConsumerView:
        """This consumer as it is now."""
        hosts = self._hosting.hosts.values()
        held = self._hosting.held()
        open_to_more = self.available and not self.draining
        return ConsumerView(
            consumer_id=self._consumer_id,
            lease_until=time.time() + self._settings.lease_seconds,
            free_slots=self._capacity.free_slots(held) if open_to_more else 0,
            coldest_at=placement.coldest_at(held) if open_to_more else None,
            loading=tuple(host.label for host in hosts if not host.ready and not host.gone),
            loaded={host.label: self._metrics.statistics(host.label, host.size_bytes) for host in hosts if host.ready},
            in_flight=self._hosting.in_flight,
            draining=self.draining,
        )

    async def publish(self) -> None:
        """Write the row now."""
        view = self.view()
        self._published = view
        await self._aws.registry.publish(view)

    async def keep_lease(self) -> None:
        """Renew the lease three times in its term, and tell sooner what changes the order; for ever."""
        while True:
            await asyncio.sleep(self._settings.placement_interval_seconds)
            if self._row_is_old():
                try:
                    await self.publish()
                except TransportError as error:
                    log.warning("registry row not renewed: %s", error)

    def _row_is_old(self) -> bool:
        known, now = self._published, self.view()
        if known is None or known.lease_until - time.time() < self._settings.lease_seconds * 2 / 3:
            return True
        told = (known.free_slots, known.coldest_at, known.loading, tuple(known.loaded), known.draining)
        return told != (now.free_slots, now.coldest_at, now.loading, tuple(now.loaded), now.draining)

    async def fleet(self, fresh_seconds: float = FRESH_SECONDS) -> Fleet:
        """The fleet as the registry has it (at most `fresh_seconds` old), with this consumer as it is now."""
        if time.time() - self._fleet.read_at > fresh_seconds:
            self._fleet = await self._aws.registry.fleet()
            await self._bury(self._fleet)
        return self._fleet.with_view(self.view())

    async def _bury(self, fleet: Fleet) -> None:
        """Ask for new hosts for what dead consumers held, and delete their rows."""
        now = time.time()
        for view in fleet.consumers:
            if view.lease_until > now or view.consumer_id == self._consumer_id:
                continue
            log.warning("consumer %s is gone, it held %s", view.consumer_id, sorted(view.loaded))
            for label in (*view.loaded, *view.loading):
                if not fleet.hosts(label, now):
                    await self.loader.ring_once(label, await self._aws.queues.of_label(label, create=True))
            await self._aws.registry.leave(view.consumer_id)

    async def run(self) -> None:
        """Take part in placement until this consumer drains."""
        while not self.draining:
            try:
                await self._turn()
            except (TransportError, LabelError, DecodeError) as error:
                log.warning("placement: %s", error)
                await asyncio.sleep(LATER_SECONDS)

    async def _turn(self) -> None:
        interval = self._settings.placement_interval_seconds
        if not self.available:
            await asyncio.sleep(interval)
            return
        fleet = await self.fleet(interval / 2)
        await self._ask_for_hosts(fleet)
        if placement.rank(fleet, self._consumer_id, time.time()) is None:
            await self._make_room()
            await asyncio.sleep(interval)
            return
        patience = self._patience(fleet)
        if patience:
            await asyncio.sleep(patience)
            fleet = await self.fleet(interval / 2)
            patience = self._patience(fleet)
        wait = 0 if patience else self._settings.wait_time_seconds
        requests = await self._aws.load_polls.take(wait, self._appetite(fleet, patience))
        by_label: dict[str, list[LoadRequest]] = {}
        for request in requests:
            by_label.setdefault(request.label, []).append(request)
        await asyncio.gather(*(self._answer_in_order(same) for same in by_label.values()))

    def _appetite(self, fleet: Fleet, patience: float) -> int:
        """How many requests to take at once: as many as this consumer would be the best place for.

        Requests that nobody better placed has taken in time are all its own, as far as it has labels to give up.
        """
        others = [view for view in fleet.live(time.time()) if view.consumer_id != self._consumer_id]
        mine = self.view().free_slots
        if mine:
            most = max((view.free_slots for view in others), default=0)
            return max(1, mine - most + 1) if most else mine
        warmer = min((view.coldest_at for view in others if view.coldest_at is not None), default=math.inf)
        if patience:
            warmer = math.inf
        return max(1, sum(label.idle and label.last_used <= warmer for label in self._hosting.held()))

    async def _answer_in_order(self, requests: list[LoadRequest]) -> None:
        """Requests of one label, one after the other: what the first one brings about settles the next."""
        for request in requests:
            await self._answer_safely(request)

    async def _answer_safely(self, request: LoadRequest) -> None:
        try:
            done = await self._answer(request)
        except (TransportError, BackendLostError) as error:
            log.warning("load request not served: %s", error, extra={"label": request.label})
            done = False
        except Exception:
            # A backend's surprise with one label must not end this consumer's part in placing all others.
            log.exception("load request not served", extra={"label": request.label})
            done = False
        with contextlib.suppress(TransportError):
            if done:
                await self._aws.load_requests.done(request)
            else:
                await self._aws.load_requests.hand_back(request, LATER_SECONDS)

    async def _answer(self, request: LoadRequest) -> bool:
        """Serve a request; True when it is settled, False when it must come again."""
        label, now = request.label, time.time()
        fleet = await self.fleet()
        settings = await self._aws.registry.label(label)
        wanted = min(request.hosts, settings.lanes)
        if len(fleet.hosts(label, now)) >= wanted:
            return True
        if label in self._hosting.hosts or not self._my_turn(fleet, request):
            return False
        if await self._is_void(request):
            return True
        failure = await self._aws.registry.failure(label)
        if failure is not None and failure.tries >= self._settings.max_load_tries:
            await self.loader.fail_jobs(label, failure)
            return True
        size = self.loader.sizes.get(label) or self._size_elsewhere(fleet, label)
        try:
            loaded = await self.loader.load(settings, wanted, fleet, lambda: self._victims(size))
        except ModelLoadError:
            failure = await self._aws.registry.failure(label)
            if failure is not None and failure.tries >= self._settings.max_load_tries:
                await self.loader.fail_jobs(label, failure)
                return True
            return False
        else:
            if loaded and failure is not None:
                await self._aws.registry.succeeded(label)
            return loaded
        finally:
            await self.publish()

    def _patience(self, fleet: Fleet) -> float:
        """How old (seconds) a request must be before this consumer takes it; 0 when it is its turn."""
        return placement.patience_seconds(
            fleet,
            self._consumer_id,
            time.time(),
            interval_seconds=self._settings.placement_interval_seconds,
            idle_seconds=self._settings.placement_idle_seconds,
        )

    def _my_turn(self, fleet: Fleet, request: LoadRequest) -> bool:
        """Whether to take a request that came although another consumer may be better placed: not before it is old."""
        return time.time() - request.rung_at >= self._patience(fleet)

    def _victims(self, size_bytes: int) -> list[str] | None:
        return placement.victims(self._hosting.held(), self._capacity, size_bytes)

    async def _is_void(self, request: LoadRequest) -> bool:
        """Whether the label's work was done while its request waited: loading it again would serve nobody.

        A fresh request is believed without looking: SQS's counts lag behind what was just sent.
        """
        if request.hosts > 1 or time.time() - request.rung_at < VOID_AFTER_SECONDS:
            return False
        url = await self._aws.queues.of_label(request.label, create=True)
        return (await self._aws.queues.backlog(url)).total == 0

    @staticmethod
    def _size_elsewhere(fleet: Fleet, label: str) -> int:
        sizes = (view.loaded[label].size_bytes for view in fleet.consumers if label in view.loaded)
        return max(sizes, default=0)

    async def _make_room(self) -> None:
        """Every slot is busy: when somebody waits, the label that has had its turn goes to the end of the line."""
        turned = placement.turn_over(self._hosting.held(), time.time(), self._settings.turn_min_seconds)
        if turned is not None and await self._aws.load_requests.waiting():
            log.info("has had its turn", extra={"label": turned})
            await self.loader.give_up(turned)
            await self.publish()

    async def _ask_for_hosts(self, fleet: Fleet) -> None:
        """Ask for another host for a label whose backlog is worth it and whose lanes allow it."""
        now = time.time()
        if now - self._asked_hosts_at < HOSTS_CHECK_SECONDS:
            return
        self._asked_hosts_at = now
        if now - self._settings_read_at > SETTINGS_SECONDS:
            self._settings_read_at = now
            for host in list(self._hosting.hosts.values()):
                host.allow(await self._aws.registry.label(host.label))
        for host in [host for host in self._hosting.hosts.values() if host.ready and host.lanes > 1]:
            hosts = len(fleet.hosts(host.label, now))
            backlog = await self._aws.queues.backlog(host.url)
            if placement.wants_another_host(
                backlog=backlog.visible,
                service_seconds=self._metrics.of(host.label).service_mean,
                load_seconds=host.load_seconds,
                hosts=hosts,
                lanes=host.lanes,
                target_seconds=HOSTS_TARGET_SECONDS,
            ):
                await self._aws.load_requests.ring(host.label, hosts=hosts + 1)
