"""Leaves a label to an idle consumer when this one is overloaded.

A label stays where it is loaded. Without this module, a consumer whose labels all became busy would keep them all, and a task
that autoscaling started for their backlog would find nothing to take.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time

from ..deployment import Aws
from ..fleet import placement
from ..fleet.view import Fleet
from .loading import Loader
from .membership import Membership
from .metrics import Metrics
from .slots import Host, Hosting

log = logging.getLogger(__name__)

#: A consumer checks its load at this interval on average, and only while another one is idle.
CHECK_SECONDS = 15.0
#: More work than this waiting for one consumer is worth a load by another (seconds of the consumer's time).
OVERLOADED_SECONDS = 60.0
#: After giving a label up, a consumer leaves it to others for this long, although it now has a free slot.
LEFT_SECONDS = 30.0


class Relief:
    """Gives labels of one overloaded consumer away."""

    def __init__(self, aws: Aws, hosting: Hosting, metrics: Metrics, membership: Membership, loader: Loader) -> None:
        self._aws = aws
        self._hosting = hosting
        self._metrics = metrics
        self._membership = membership
        self._loader = loader
        self._next_check = 0.0
        self._left: dict[str, float] = {}

    def leaves(self, label: str, fleet: Fleet) -> bool:
        """Whether the label was given away a moment ago and another consumer is still there to take it."""
        now = time.time()
        return now < self._left.get(label, 0.0) and placement.others_rest(fleet, self._membership.consumer_id, now)

    async def seek(self, fleet: Fleet) -> None:
        """Give a label away if that helps. However often this is called, it checks only now and then."""
        now = time.time()
        if now < self._next_check or not self._may_help(fleet, now):
            return
        # Random, so that not all overloaded consumers act at once: one idle consumer cannot relieve them all.
        self._next_check = now + CHECK_SECONDS * random.uniform(0.5, 1.5)
        # The view may be old, and an idle consumer serves labels that wait for a host first.
        fleet = await self._membership.fleet()
        if not self._may_help(fleet, now) or await self._aws.load_requests.waiting():
            return
        hosts = [host for host in self._hosting.hosts.values() if host.ready]
        counts = {host.label: len(fleet.hosts(host.label, now)) for host in hosts}
        seconds = await asyncio.gather(*(self._seconds(host, counts[host.label]) for host in hosts))
        waiting = {host.label: work for host, work in zip(hosts, seconds, strict=True)}
        turn = self._aws.settings.turn_min_seconds
        label = placement.relief(self._hosting.held(), waiting, now, turn, OVERLOADED_SECONDS)
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
            if counts[label] > 1:
                # The request that follows a give-up asks for one host, which this label still has.
                await self._aws.load_requests.ring(label, hosts=counts[label])
        finally:
            self._left = {label: time.time() + LEFT_SECONDS}

    def _may_help(self, fleet: Fleet, now: float) -> bool:
        busy = placement.had_turn(self._hosting.held(), now, self._aws.settings.turn_min_seconds)
        return len(busy) > 1 and placement.others_rest(fleet, self._membership.consumer_id, now)

    async def _seconds(self, host: Host, hosts: int) -> float:
        """This consumer's part of the work that waits for a label, in seconds of its time."""
        backlog = await self._aws.queues.backlog(host.url)
        return backlog.visible * self._metrics.of(host.label).share_mean / max(1, hosts)
