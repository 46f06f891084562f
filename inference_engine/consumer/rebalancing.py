"""Moves work between consumers that already hold labels: more holders for a backlog, and labels left to consumers that rest.

A label stays where it is loaded. Without the second part, a consumer whose labels all became busy would keep them all, and a
task that autoscaling started for their backlog would find nothing to take.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time

from ..deployment import Deployment
from ..fleet import placement
from ..fleet.view import Fleet
from .loading import Loader
from .membership import Membership
from .metrics import ConsumerMetrics
from .slots import LoadedLabel, Slots

log = logging.getLogger(__name__)

#: Interval between checks of labels with more than one lane.
SCALE_OUT_SECONDS = 5.0
#: Interval between reads of the held labels' settings.
SETTINGS_SECONDS = 120.0
#: A backlog that the label's holders work off within this time needs no more holders.
TARGET_SECONDS = 10.0
#: A consumer checks its load at this interval on average, and only while another one is idle.
OFFLOAD_SECONDS = 15.0
#: More work than this waiting for one consumer is worth a load by another (seconds of the consumer's time).
OVERLOADED_SECONDS = 60.0
#: After giving a label up, a consumer leaves it to others for this long, although it now has a free slot.
LEFT_SECONDS = 30.0


class Rebalancing:
    """One consumer's part in it."""

    def __init__(
        self,
        deployment: Deployment,
        slots: Slots,
        metrics: ConsumerMetrics,
        membership: Membership,
        loader: Loader,
    ) -> None:
        self._deployment = deployment
        self._slots = slots
        self._metrics = metrics
        self._membership = membership
        self._loader = loader
        self._scaled_out_at = 0.0
        self._settings_read_at = time.time()
        self._next_offload = 0.0
        self._left: dict[str, float] = {}

    def leaves(self, label: str, fleet: Fleet) -> bool:
        """Whether the label was given away a moment ago and another consumer is still there to take it."""
        now = time.time()
        return now < self._left.get(label, 0.0) and placement.others_rest(fleet, self._membership.consumer_id, now)

    async def check(self, fleet: Fleet) -> None:
        """Do what helps. However often this is called, it checks only now and then."""
        now = time.time()
        if now - self._scaled_out_at >= SCALE_OUT_SECONDS:
            self._scaled_out_at = now
            await self._scale_out(fleet, now)
        if now >= self._next_offload and self._offload_may_help(fleet, now):
            # Random, so that not all overloaded consumers act at once: one idle consumer cannot relieve them all.
            self._next_offload = now + OFFLOAD_SECONDS * random.uniform(0.5, 1.5)
            await self._offload(now)

    async def _scale_out(self, fleet: Fleet, now: float) -> None:
        """Request more holders for labels whose backlog is worth them and whose lanes allow them."""
        if now - self._settings_read_at > SETTINGS_SECONDS:
            self._settings_read_at = now
            for loaded in self._slots:
                loaded.allow(await self._deployment.registry.label(loaded.label))
        for loaded in self._slots.serving:
            if loaded.lanes > 1:
                await self._request_holders(loaded, len(fleet.holders(loaded.label, now)))

    async def _request_holders(self, loaded: LoadedLabel, holders: int) -> None:
        backlog = await self._deployment.queues.backlog(loaded.url)
        wanted = placement.wanted_holders(
            backlog=backlog.visible,
            service_seconds=self._metrics.of(loaded.label).service_mean,
            load_seconds=loaded.load_seconds,
            holders=holders,
            lanes=loaded.lanes,
            target_seconds=TARGET_SECONDS,
        )
        for number in range(holders + 1, wanted + 1):
            await self._deployment.load_requests.send(loaded.label, holders=number)

    async def _offload(self, now: float) -> None:
        """Leave a label to an idle consumer if this one is overloaded."""
        # The view may be old, and an idle consumer serves labels that wait for a holder first.
        fleet = await self._membership.fleet()
        if not self._offload_may_help(fleet, now) or await self._deployment.load_requests.waiting():
            return
        serving = self._slots.serving
        holders = {loaded.label: len(fleet.holders(loaded.label, now)) for loaded in serving}
        seconds = await asyncio.gather(*(self._seconds(loaded, holders[loaded.label]) for loaded in serving))
        waiting = {loaded.label: work for loaded, work in zip(serving, seconds, strict=True)}
        turn = self._deployment.settings.turn_min_seconds
        label = placement.offload(self._slots.held(), waiting, now, turn, OVERLOADED_SECONDS)
        if label is None:
            return
        log.info(
            "leaving the label to an idle consumer; %.0f s of its work is waiting",
            waiting[label],
            extra={"label": label},
        )
        self._left = {label: math.inf}
        try:
            await self._loader.give_up(label)
            await self._membership.publish()
            if holders[label] > 1:
                # The request that follows a give-up asks for one holder, which this label still has.
                await self._deployment.load_requests.send(label, holders=holders[label])
        finally:
            self._left = {label: time.time() + LEFT_SECONDS}

    def _offload_may_help(self, fleet: Fleet, now: float) -> bool:
        busy = placement.had_turn(self._slots.held(), now, self._deployment.settings.turn_min_seconds)
        return len(busy) > 1 and placement.others_rest(fleet, self._membership.consumer_id, now)

    async def _seconds(self, loaded: LoadedLabel, holders: int) -> float:
        """This consumer's part of the work that waits for a label, in seconds of its time."""
        backlog = await self._deployment.queues.backlog(loaded.url)
        return backlog.visible * self._metrics.of(loaded.label).share_mean / max(1, holders)
