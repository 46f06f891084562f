"""One consumer's place in the fleet: its registry row, the row's lease, and what it knows of the others."""

from __future__ import annotations

import asyncio
import logging
import time

from ..deployment import Deployment
from ..errors import TransportError
from ..fleet import placement
from ..fleet.placement import ConsumerCapacity
from ..fleet.view import ConsumerView, Fleet
from .metrics import ConsumerMetrics
from .slots import Slots

log = logging.getLogger(__name__)

#: A view of the fleet younger than this is fresh enough for decisions.
FRESH_SECONDS = 0.2
#: The counts of many jobs are published within this time. A write for only a few jobs would cost as much as the jobs do.
COUNTS_SECONDS = 5.0
COUNTS_JOBS = 50


class Membership:
    """Keeps the row correct and the lease renewed, and finds new holders for the labels of dead consumers.

    This consumer takes no more labels while it is not `available` (its backend is lost) or while it is `draining`.
    """

    def __init__(
        self,
        deployment: Deployment,
        slots: Slots,
        capacity: ConsumerCapacity,
        metrics: ConsumerMetrics,
        consumer_id: str,
    ) -> None:
        self.consumer_id = consumer_id
        self.available = True
        self.draining = False
        self._deployment = deployment
        self._settings = deployment.settings
        self._slots = slots
        self._capacity = capacity
        self._metrics = metrics
        self._fleet = Fleet()
        self._published: ConsumerView | None = None

    def view(self) -> ConsumerView:
        """This consumer as it is now."""
        now = self._slots.view()
        open_to_more = self.available and not self.draining
        return ConsumerView(
            consumer_id=self.consumer_id,
            lease_until=time.time() + self._settings.lease_seconds,
            free_slots=self._capacity.free_slots(now.held) if open_to_more else 0,
            coldest_at=placement.coldest_at(now.held) if open_to_more else None,
            loading=now.loading,
            loaded={
                loaded.label: self._metrics.statistics(loaded.label, loaded.size_bytes, oldest)
                for loaded, oldest in now.serving.items()
            },
            in_flight=now.in_flight,
            jobs=self._metrics.jobs,
            misses=self._metrics.misses,
            draining=self.draining,
        )

    async def publish(self) -> None:
        """Write the row now."""
        view = self.view()
        self._published = view
        await self._deployment.registry.publish(view)

    async def keep_lease(self) -> None:
        """Run forever: renew the lease at half its term, and publish sooner what changes the order or the job counts."""
        while True:
            await asyncio.sleep(self._settings.placement_interval_seconds)
            if self._row_is_old():
                try:
                    await self.publish()
                except TransportError as error:
                    log.warning("registry row not renewed: %s", error)

    def _row_is_old(self) -> bool:
        known, now = self._published, self.view()
        if known is None or known.lease_until - time.time() < self._settings.lease_seconds / 2:
            return True
        if now.lease_until - known.lease_until > COUNTS_SECONDS and now.jobs - known.jobs >= COUNTS_JOBS:
            return True
        return _order_of(known) != _order_of(now)

    async def fleet(self, fresh_seconds: float = FRESH_SECONDS) -> Fleet:
        """The fleet as read from the registry at most `fresh_seconds` ago, with this consumer as it is now."""
        if time.time() - self._fleet.read_at > fresh_seconds:
            self._fleet = await self._deployment.registry.fleet()
            await self._bury(self._fleet)
        return self._fleet.with_view(self.view())

    async def _bury(self, fleet: Fleet) -> None:
        """Ask for new holders for the labels of dead consumers, and delete their rows."""
        now = time.time()
        for view in fleet.consumers:
            if view.lease_until > now or view.consumer_id == self.consumer_id:
                continue
            log.warning("the lease of consumer %s has expired; it held %s", view.consumer_id, sorted(view.loaded))
            for label in (*view.loaded, *view.loading):
                if not fleet.holders(label, now):
                    await self._deployment.load_requests.send_if_work(label)
            await self._deployment.registry.leave(view.consumer_id)


def _order_of(view: ConsumerView) -> tuple[object, ...]:
    """The fields by which others rank a consumer; its coldest label counts only when it has no free slot."""
    coldest_at = None if view.free_slots else view.coldest_at
    return view.free_slots, coldest_at, view.loading, tuple(view.loaded), view.draining
