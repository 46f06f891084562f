"""The polls that bring a consumer its jobs, for each label that it serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ..aio.tasks import TaskSet
from ..deployment import Deployment
from ..errors import TransportError
from .in_flight import InFlight, InFlightMessage
from .runner import JobRunner
from .slots import LoadedLabel, Slots, SlotState

log = logging.getLogger(__name__)

#: A failed poll is repeated after this.
POLL_ERROR_SECONDS = 2.0
#: More concurrent polls of one label than this gain nothing: each brings up to ten jobs.
POLLS_MAX = 16


class Polling:
    """Polls every label that is served and runs the jobs that it receives.

    At most one receive or batch per lane is in progress at a time: SQS delivers nothing from a message group whose messages
    are in flight, so more polls could only wait. `on_lost(label)` is called when the backend was lost during a job,
    `on_edge(busy)` when the first job begins and when the last one ends.
    """

    def __init__(
        self,
        deployment: Deployment,
        slots: Slots,
        in_flight: InFlight,
        runner: JobRunner,
        on_lost: Callable[[str], None],
        on_edge: Callable[[bool], None],
    ) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._slots = slots
        self._in_flight = in_flight
        self._runner = runner
        self._on_lost = on_lost
        self._on_edge = on_edge
        self._stopping = False
        self._polls: TaskSet[None] = TaskSet()
        self._jobs: dict[asyncio.Task[bool], InFlightMessage] = {}
        self._batch_ended = asyncio.Event()

    def begin(self, loaded: LoadedLabel) -> None:
        """Serve a label whose model is ready."""
        loaded.serve()
        self._poll(loaded)

    def stop(self) -> None:
        """Take no more jobs; polls that are open may still bring some, which are given back."""
        self._stopping = True

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, give the current ones `seconds` to end, then return the rest to their queues."""
        self.stop()
        self._slots.leave_all()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=seconds)
        for job, message in self._jobs.items():
            if not message.computed:
                job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def ended(self) -> None:
        """Wait for open polls (up to one wait time): the jobs that they bring must be given back."""
        await self._polls.ended()

    def _poll(self, loaded: LoadedLabel) -> None:
        loaded.polls += 1
        self._polls.start(self._poll_loop(loaded))

    async def _poll_loop(self, loaded: LoadedLabel) -> None:
        try:
            loaded.polling_since = time.time()
            while loaded.state is SlotState.SERVING and not self._stopping:
                in_flight = self._slots.in_flight
                if in_flight >= self._settings.max_in_flight:
                    # A job received now would wait here while another consumer may be idle.
                    await self._room_for_jobs(loaded)
                    continue
                messages = await self._receive(loaded)
                if messages is None:
                    continue
                if not messages:
                    if loaded.polls > 1:
                        return
                    continue
                current = self._slots.get(loaded.label)
                if current is None or current.state is not SlotState.SERVING or self._stopping:
                    await self._too_late(loaded, messages)
                    return
                room = self._settings.max_in_flight - self._slots.in_flight - len(messages)
                if room > 0 and current.polls < min(current.lanes, POLLS_MAX):
                    self._poll(current)
                await self._run(current, messages)
                # Not reset when a poll comes back empty: that is the best proof of idleness.
                loaded.polling_since = time.time()
        finally:
            loaded.polls -= 1

    async def _room_for_jobs(self, loaded: LoadedLabel) -> None:
        """Wait until a batch has ended. Until then it is unknown whether the label has work."""
        loaded.held_back += 1
        self._batch_ended.clear()
        await self._batch_ended.wait()
        loaded.held_back -= 1
        loaded.polling_since = time.time()

    async def _receive(self, loaded: LoadedLabel) -> list[InFlightMessage] | None:
        try:
            received = await self._deployment.polls.receive(
                loaded.url,
                wait_seconds=self._settings.wait_time_seconds,
                visibility_seconds=self._settings.visibility_timeout_seconds,
            )
        except TransportError as error:
            log.warning("poll failed: %s", error, extra={"label": loaded.label})
            await asyncio.sleep(POLL_ERROR_SECONDS)
            return None
        return self._in_flight.add(loaded.url, loaded.label, received)

    def _start(self, loaded: LoadedLabel, message: InFlightMessage) -> asyncio.Task[bool]:
        job = asyncio.get_running_loop().create_task(self._runner.run(message, loaded.limit))
        self._jobs[job] = message
        loaded.in_hand.add(message)
        job.add_done_callback(lambda ended: loaded.in_hand.discard(self._jobs.pop(ended)))
        return job

    async def _run(self, loaded: LoadedLabel, messages: list[InFlightMessage]) -> None:
        if self._slots.in_flight == 0:
            self._on_edge(True)
        loaded.begin(len(messages), min(message.received.sent_at for message in messages))
        jobs = [self._start(loaded, message) for message in messages]
        try:
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)
            await self._in_flight.flush(loaded.url)
        finally:
            loaded.end(len(messages))
            self._batch_ended.set()
            if self._slots.in_flight == 0:
                self._on_edge(False)
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Exception):
                log.error(
                    "unexpected error; the job is received again after its visibility timeout",
                    exc_info=outcome,
                    extra=message.log_extra,
                )
                await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)
        if any(outcome is False for outcome in outcomes) and self._slots.holds(loaded):
            self._on_lost(loaded.label)

    async def _too_late(self, loaded: LoadedLabel, messages: list[InFlightMessage]) -> None:
        """Give back jobs from a poll whose label was given up meanwhile: another consumer must load it."""
        await self._in_flight.give_back(messages)
        try:
            await self._deployment.load_requests.send(loaded.label, always=True)
        except TransportError as error:
            log.warning("load request not sent: %s", error, extra={"label": loaded.label})
