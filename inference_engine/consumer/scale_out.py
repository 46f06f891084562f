"""Requests more hosts for labels whose backlog is worth them and whose lanes allow them."""

from __future__ import annotations

import time

from ..deployment import Aws
from ..fleet import placement
from ..fleet.view import Fleet
from .metrics import Metrics
from .slots import Host, Hosting

#: Interval between checks of labels with more than one lane.
CHECK_SECONDS = 5.0
#: Interval between reads of the held labels' settings.
SETTINGS_SECONDS = 120.0
#: A backlog that the label's hosts work off within this time needs no more hosts.
TARGET_SECONDS = 10.0


class MoreHosts:
    """Requests more hosts for the labels that one consumer holds."""

    def __init__(self, aws: Aws, hosting: Hosting, metrics: Metrics) -> None:
        self._aws = aws
        self._hosting = hosting
        self._metrics = metrics
        self._checked_at = 0.0
        self._settings_read_at = time.time()

    async def ask(self, fleet: Fleet) -> None:
        """Ring for the labels that need another host. However often this is called, it checks only now and then."""
        now = time.time()
        if now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        hosts = list(self._hosting.hosts.values())
        if now - self._settings_read_at > SETTINGS_SECONDS:
            self._settings_read_at = now
            for host in hosts:
                host.allow(await self._aws.registry.label(host.label))
        for host in hosts:
            if host.ready and host.lanes > 1:
                await self._ask_for(host, len(fleet.hosts(host.label, now)))

    async def _ask_for(self, host: Host, hosts: int) -> None:
        backlog = await self._aws.queues.backlog(host.url)
        wanted = placement.wanted_hosts(
            backlog=backlog.visible,
            service_seconds=self._metrics.of(host.label).service_mean,
            load_seconds=host.load_seconds,
            hosts=hosts,
            lanes=host.lanes,
            target_seconds=TARGET_SECONDS,
        )
        for number in range(hosts + 1, wanted + 1):
            await self._aws.load_requests.ring(host.label, hosts=number)
