"""The labels that a consumer holds, and the polls that bring their jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..deployment import Aws
from ..errors import TransportError
from ..fleet.placement import Held
from ..fleet.view import LabelSettings
from .in_flight import Deliveries, Delivery
from .runner import JobRunner

log = logging.getLogger(__name__)

#: A poll that has been open this long found the queue empty: SQS answers at once if it has messages.
IDLE_AFTER_SECONDS = 0.5
#: A failed poll is repeated after this.
POLL_ERROR_SECONDS = 2.0
#: More concurrent polls of one label than this gain nothing: each brings up to ten jobs.
POLLS_MAX = 16


@dataclass(eq=False, slots=True)
class Host:
    """One label in a slot; times in Unix seconds, sizes in bytes."""

    label: str
    url: str
    lanes: int = 1
    size_bytes: int = 0
    load_seconds: float = 0.0
    loaded_at: float = 0.0
    last_used: float = field(default_factory=time.time)
    ready: bool = False
    in_flight: int = 0
    polls: int = 0
    polling_since: float = 0.0
    held_back: int = 0
    batch_sent_at: float | None = None
    gone: bool = False
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    max_in_flight: int | None = None
    limit: asyncio.Semaphore | None = None

    def allow(self, settings: LabelSettings) -> None:
        """Apply the label's settings to jobs received from now on."""
        self.lanes = settings.lanes
        if settings.max_in_flight == self.max_in_flight:
            # A new semaphore would forget the jobs that the old one counts.
            return
        self.max_in_flight = settings.max_in_flight
        self.limit = asyncio.Semaphore(settings.max_in_flight) if settings.max_in_flight else None

    def held(self, now: float) -> Held:
        """The label as the placement rules need it."""
        waiting = self.polls > 0 and now - self.polling_since >= IDLE_AFTER_SECONDS
        idle = self.ready and self.in_flight == 0 and waiting and not self.held_back
        return Held(self.label, idle, self.last_used, self.loaded_at, self.load_seconds, self.size_bytes)


class Hosting:
    """Polls every label that is ready and runs the jobs that it receives.

    At most one receive or batch per lane is in progress at a time: SQS delivers nothing from a message group whose messages
    are in flight, so more polls could only wait. `on_lost(label)` is called when the backend was lost during a job.
    """

    def __init__(self, aws: Aws, deliveries: Deliveries, runner: JobRunner, on_lost: Callable[[str], None]) -> None:
        self._aws = aws
        self._settings = aws.settings
        self._deliveries = deliveries
        self._runner = runner
        self._on_lost = on_lost
        self.hosts: dict[str, Host] = {}
        self.stopping = False
        self._pollers: set[asyncio.Task[None]] = set()
        self._jobs: dict[asyncio.Task[bool], Delivery] = {}
        self._batch_ended = asyncio.Event()
        self.on_edge: Callable[[bool], None] = lambda busy: None

    def held(self) -> list[Held]:
        """All labels that have a slot, including those that are loading (never idle) but not those that are leaving."""
        now = time.time()
        return [host.held(now) for host in self.hosts.values() if not host.gone]

    def reserve(self, host: Host, victims: list[str]) -> list[Host]:
        """Give the victims' slots to `host` in one atomic step. Returns the hosts that leave."""
        leaving = [self.hosts[victim] for victim in victims]
        for victim in leaving:
            victim.ready, victim.gone = False, True
        self.hosts[host.label] = host
        return leaving

    async def room(self) -> None:
        """Wait until the leaving labels have freed their memory."""
        await asyncio.gather(*(host.left.wait() for host in list(self.hosts.values()) if host.gone))

    @property
    def in_flight(self) -> int:
        """Jobs that this consumer has received and not finished."""
        return sum(host.in_flight for host in self.hosts.values())

    def oldest_sent_at(self) -> dict[str, float]:
        """For each label, when its oldest job in hand, or of its last batch while more may wait, was sent (Unix seconds)."""
        now = time.time()
        oldest = {
            host.label: host.batch_sent_at
            for host in self.hosts.values()
            if host.batch_sent_at is not None and not host.held(now).idle
        }
        for delivery in self._jobs.values():
            sent_at = delivery.message.sent_at
            oldest[delivery.label] = min(sent_at, oldest.get(delivery.label, sent_at))
        return oldest

    def serve(self, host: Host) -> None:
        """Begin to poll a label whose model is ready."""
        host.ready = True
        host.loaded_at = time.time()
        self._poll(host)

    async def emptied(self, host: Host) -> None:
        """Wait until no job is in flight for a label that takes no more jobs."""
        while host.in_flight:
            host.emptied.clear()
            await host.emptied.wait()

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, give the current ones `seconds` to end, then return the rest to their queues."""
        self.stopping = True
        for host in self.hosts.values():
            host.ready, host.gone = False, True
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=seconds)
        for job, delivery in self._jobs.items():
            if not delivery.computed:
                job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def polls_ended(self) -> None:
        """Wait for open polls (up to one wait time): the jobs that they bring must be given back."""
        await asyncio.gather(*self._pollers, return_exceptions=True)

    def _poll(self, host: Host) -> None:
        host.polls += 1
        task = asyncio.get_running_loop().create_task(self._poll_loop(host))
        self._pollers.add(task)
        task.add_done_callback(self._pollers.discard)

    def _start(self, host: Host, delivery: Delivery) -> asyncio.Task[bool]:
        job = asyncio.get_running_loop().create_task(self._runner.run(delivery, host.limit))
        self._jobs[job] = delivery
        job.add_done_callback(self._jobs.pop)
        return job

    async def _poll_loop(self, host: Host) -> None:
        try:
            host.polling_since = time.time()
            while host.ready and not self.stopping:
                if self.in_flight >= self._settings.max_in_flight:
                    # A job received now would wait here while another consumer may be idle.
                    await self._room_for_jobs(host)
                    continue
                deliveries = await self._receive(host)
                if deliveries is None:
                    continue
                if not deliveries:
                    if host.polls > 1:
                        return
                    continue
                current = self.hosts.get(host.label)
                if current is None or not current.ready or self.stopping:
                    await self._too_late(host, deliveries)
                    return
                room = self._settings.max_in_flight - self.in_flight - len(deliveries)
                if room > 0 and current.polls < min(current.lanes, POLLS_MAX):
                    self._poll(current)
                await self._run(current, deliveries)
                # Not reset when a poll comes back empty: that is the best proof of idleness.
                host.polling_since = time.time()
        finally:
            host.polls -= 1

    async def _room_for_jobs(self, host: Host) -> None:
        """Wait until a batch has ended. Until then it is unknown whether the label has work."""
        host.held_back += 1
        self._batch_ended.clear()
        await self._batch_ended.wait()
        host.held_back -= 1
        host.polling_since = time.time()

    async def _receive(self, host: Host) -> list[Delivery] | None:
        try:
            messages = await self._aws.polls.receive(
                host.url,
                wait_seconds=self._settings.wait_time_seconds,
                visibility_seconds=self._settings.visibility_timeout_seconds,
            )
        except TransportError as error:
            log.warning("poll failed: %s", error, extra={"label": host.label})
            await asyncio.sleep(POLL_ERROR_SECONDS)
            return None
        return self._deliveries.add(host.url, host.label, messages)

    async def _run(self, host: Host, deliveries: list[Delivery]) -> None:
        if self.in_flight == 0:
            self.on_edge(True)
        host.in_flight += len(deliveries)
        host.last_used = time.time()
        host.batch_sent_at = min(delivery.message.sent_at for delivery in deliveries)
        jobs = [self._start(host, delivery) for delivery in deliveries]
        try:
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)
            await self._deliveries.flush(host.url)
        finally:
            host.in_flight -= len(deliveries)
            host.last_used = time.time()
            host.emptied.set()
            self._batch_ended.set()
            if self.in_flight == 0:
                self.on_edge(False)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if isinstance(outcome, Exception):
                log.error(
                    "unexpected error; the job is received again after its visibility timeout",
                    exc_info=outcome,
                    extra=delivery.log_extra,
                )
                await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
        if any(outcome is False for outcome in outcomes) and self.hosts.get(host.label) is host:
            self._on_lost(host.label)

    async def _too_late(self, host: Host, deliveries: list[Delivery]) -> None:
        """Give back jobs from a poll whose label was given up meanwhile: another consumer must load it."""
        await self._deliveries.give_back(deliveries)
        try:
            await self._aws.load_requests.ring(host.label, always=True)
        except TransportError as error:
            log.warning("load request not sent: %s", error, extra={"label": host.label})
