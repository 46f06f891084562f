"""The controller: admits, dispatches, evicts.

    acquire ──► QUEUE_FULL | SHUTTING_DOWN            at once
       │
       ▼
    waiting ──► DISPATCHED ──► the caller's work ──► release
       │  │  └► TTL | NO_CONSUMER | SHUTTING_DOWN     evicted
       │  ├───► QUEUE_FULL                            newest of the largest group, evicted for one of a smaller group
       │  └───► CALLER_LEFT                           its task was cancelled
       └──────► DISPATCHED                            at once, where no other request could go

Everything happens on one event loop. There is no `await` between a check and the write that depends on it, so nothing needs a
lock; the only task goes on when something may have become possible.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from .admission import FullError, WaitingBands
from .limits import Limits, NotDispatched, Room, WaitOutcome
from .queues import EarliestDeadlineFirst, FirstComeFirstServed, Item, LabelQueue, Path, Permit, Whose
from .timing import CheckTimes, Rate
from .turns import LabelTurns

#: Dispatches before other tasks on the event loop get their turn.
BATCH = 128
#: How often rooms are read again, and requests that have waited too long are evicted.
SWEEP_SECONDS = 1.0


class FlowController:
    """Dispatches requests when their label has room; `room` returns how much, and must answer from memory.

    `room` is called for labels that were not in use, and once a second for those that are. Run `run()` as a task.
    """

    def __init__(
        self, limits: Limits, room: Callable[[str], Room], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.outcomes: Counter[WaitOutcome] = Counter()
        self.bands = WaitingBands(limits)
        self.in_flight = 0
        self.waiting = 0
        self.paused = False
        self._room = room
        self._clock = clock
        self._new_order = EarliestDeadlineFirst if limits.order == "edf" else FirstComeFirstServed
        self._labels: dict[str, LabelQueue] = {}
        self._turns = LabelTurns()
        self._check_times = CheckTimes()
        self._rate = Rate(clock())
        self._closed = False
        self._changed = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None

    # --- for callers --------------------------------------------------------------------------------------------------

    async def acquire(
        self,
        label: str,
        *,
        priority: int = 0,
        path: Path = ("", ""),
        size_bytes: int = 0,
        seconds: float | None = None,
    ) -> Permit:
        """Wait until a request may go; `path` is its owner and flow, `seconds` its caller's whole time. Raises NotDispatched."""
        # Requests that could go already, but that the task had no time for, must not cause a rejection or an eviction.
        while self._turns and not self.bands.has_place(priority, size_bytes):
            if self.dispatch(BATCH) < BATCH:
                break
        queue = self._queue_of(label)
        if self._goes_at_once(queue):
            self._labels[label] = queue
            self._watch()
            self._granted(queue)
            return Permit(queue, self._released)
        item = self.enqueue(label, priority=priority, path=path, size_bytes=size_bytes, seconds=seconds)
        try:
            outcome = await item.settled
        except asyncio.CancelledError:
            self._leave(item)
            raise
        if outcome is WaitOutcome.DISPATCHED:
            return Permit(item.queue, self._released)
        raise self._refusal(outcome, item)

    def enqueue(
        self,
        label: str,
        *,
        priority: int = 0,
        path: Path = ("", ""),
        size_bytes: int = 0,
        seconds: float | None = None,
    ) -> Item:
        """Enqueue a request; once `settled` is DISPATCHED it is on its way until a Permit is released. Raises NotDispatched."""
        queue = self._queue_of(label)
        priority = self._make_room(priority, (*path, label), size_bytes)
        now = self._clock()
        settled: asyncio.Future[WaitOutcome] = asyncio.get_running_loop().create_future()
        deadline = now + (self.limits.ttl_seconds if seconds is None else seconds)
        item = Item(queue, priority, path, size_bytes, deadline, now, settled)
        self.bands.add(item)
        self.waiting += 1
        self._labels[label] = queue
        band = queue.add(item)
        if not band.stamp:
            self._turns.join(band)
        self._look_again(item, now)
        self._watch()
        self._changed.set()
        return item

    # --- for the process that runs it ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dispatch and evict until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._clock() - self._rate.at >= SWEEP_SECONDS:
                self.sweep()
            if self.dispatch(BATCH) == BATCH:
                # There may be more, but other callbacks of this loop go first.
                asyncio.get_running_loop().call_soon(self._changed.set)
            self._watch()

    def dispatch(self, at_most: int) -> int:
        """Dispatch up to `at_most` requests, the most urgent first; returns how many went."""
        now = self._clock()
        gone = 0
        while gone < at_most and self.in_flight < self.limits.concurrency and not self.paused:
            band = self._turns.next()
            if band is None:
                break
            item = band.turns.first()
            if item.settled.done() or self._ends_at(item) <= now:
                # A request that is not dispatched does not use up its label's turn.
                self._evict(item, WaitOutcome.CALLER_LEFT if item.settled.done() else self._too_late(item))
                if band.turns:
                    self._turns.stay(band)
                continue
            queue = band.label
            queue.pop(band)
            self._granted(queue)
            gone += 1
            self._settle(item, WaitOutcome.DISPATCHED)
            if band.turns:
                self._turns.join(band)
        return gone

    def sweep(self) -> None:
        """Read rooms again, and evict requests that have waited too long."""
        now = self._clock()
        self._rate.measure(now, self.outcomes[WaitOutcome.DISPATCHED])
        for queue in list(self._labels.values()):
            room = self._room(queue.label)
            if room.served is not queue.room.served:
                queue.since = now
            queue.room = room
            self._turns.settle(queue)
        for item in self._check_times.until(now):
            if self._ends_at(item) <= now:
                self._evict(item, self._too_late(item))
            else:
                self._look_again(item, now)

    def pause(self) -> None:
        """Dispatch nothing until `resume`; requests may still come and wait."""
        self.paused = True

    def resume(self) -> None:
        """Dispatch again."""
        self.paused = False
        self._changed.set()

    def close(self) -> None:
        """Admit no more requests; those that wait are still dispatched."""
        self._closed = True

    def evict_all(self) -> None:
        """Evict all waiting requests: the gateway stops."""
        for item in list(self._check_times):
            self._evict(item, WaitOutcome.SHUTTING_DOWN)

    # --- admission ----------------------------------------------------------------------------------------------------

    def _queue_of(self, label: str) -> LabelQueue:
        """The queue of a label, a new one where the label was not in use. Raises NotDispatched after `close`."""
        if self._closed:
            raise self._refused(WaitOutcome.SHUTTING_DOWN, "the gateway is shutting down")
        return self._labels.get(label) or LabelQueue(label, self._room(label), self._new_order)

    def _goes_at_once(self, queue: LabelQueue) -> bool:
        """Whether there is room, and no waiting request could use it."""
        has_room = self.in_flight < self.limits.concurrency and queue.has_room
        return has_room and not self._turns and not queue.waiting and not self.paused

    def _make_room(self, priority: int, whose: Whose, size_bytes: int) -> int:
        """The band that a request may wait in; in a full band the largest group loses its newest ones. Raises NotDispatched."""
        try:
            priority = self.bands.band_for(priority)
            victims = self.bands.victims(priority, whose, size_bytes)
        except FullError as full:
            raise self._refused(WaitOutcome.QUEUE_FULL, str(full)) from None
        for victim in victims:
            self._evict(victim, WaitOutcome.QUEUE_FULL)
        return priority

    # --- requests on their way ----------------------------------------------------------------------------------------

    def _granted(self, queue: LabelQueue) -> None:
        """Count one more request of a label as on its way."""
        self.outcomes[WaitOutcome.DISPATCHED] += 1
        self.in_flight += 1
        queue.in_flight += 1

    def _released(self, queue: LabelQueue) -> None:
        """Count one request less as on its way."""
        self.in_flight -= 1
        queue.in_flight -= 1
        self._turns.settle(queue)
        self._forget_if_unused(queue)
        if self._turns:
            self._changed.set()

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _ends_at(self, item: Item) -> float:
        """When a request has waited too long: for room, or, while none lives, for a consumer; anew when consumers come or go."""
        queue, limits = item.queue, self.limits
        longest = limits.ttl_seconds if queue.room.served else limits.no_consumer_seconds
        return min(item.deadline, max(item.entered_at, queue.since) + longest)

    def _too_late(self, item: Item) -> WaitOutcome:
        return WaitOutcome.TTL if item.queue.room.served else WaitOutcome.NO_CONSUMER

    def _look_again(self, item: Item, now: float) -> None:
        """Have the sweep check a request when it may end, and early enough for an end that leaving consumers bring forward."""
        soon = now + min(self.limits.ttl_seconds, self.limits.no_consumer_seconds)
        self._check_times.put(item, min(self._ends_at(item), soon))

    def _settle(self, item: Item, outcome: WaitOutcome) -> None:
        """End a request's wait, once; the request has left its queue, and its outcome is counted."""
        item.outcome = outcome
        self.waiting -= 1
        self.bands.remove(item)
        self._check_times.remove(item)
        if not item.settled.done():
            item.settled.set_result(outcome)

    def _evict(self, item: Item, outcome: WaitOutcome) -> None:
        band = item.queue.remove(item)
        if not band.turns:
            self._turns.left(band)
        self.outcomes[outcome] += 1
        self._settle(item, outcome)
        self._forget_if_unused(item.queue)

    def _leave(self, item: Item) -> None:
        """The caller has left: remove its request, or give back what the request was granted."""
        if item.outcome is None:
            self._evict(item, WaitOutcome.CALLER_LEFT)
        elif item.outcome is WaitOutcome.DISPATCHED:
            self._released(item.queue)

    def _forget_if_unused(self, queue: LabelQueue) -> None:
        if not queue.waiting and not queue.in_flight:
            self._labels.pop(queue.label, None)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Let the task check again in a while, as long as any label is in use."""
        if self._tick is None and self._labels:
            self._tick = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._ticked)
            self._rate.resume(self._clock(), self.outcomes[WaitOutcome.DISPATCHED])

    def _ticked(self) -> None:
        self._tick = None
        self._changed.set()

    # --- refusals -----------------------------------------------------------------------------------------------------

    def _refusal(self, outcome: WaitOutcome, item: Item) -> NotDispatched:
        waited = self._clock() - item.entered_at
        detail = {
            WaitOutcome.QUEUE_FULL: "evicted from a full queue: this API key, flow or label held the largest share of it",
            WaitOutcome.TTL: f"the request did not get a turn for label {item.queue.label!r} within {waited:.1f} s",
            WaitOutcome.NO_CONSUMER: f"there was no live consumer for {waited:.1f} s",
            WaitOutcome.SHUTTING_DOWN: "the gateway is shutting down",
        }[outcome]
        if outcome is WaitOutcome.TTL and self.paused:
            detail = f"the gateway is paused, and this request has waited {waited:.1f} s, as long as it may"
        return NotDispatched(outcome, detail, self._rate.retry_seconds(self.waiting))

    def _refused(self, outcome: WaitOutcome, detail: str) -> NotDispatched:
        """A rejection without a wait."""
        self.outcomes[outcome] += 1
        return NotDispatched(outcome, detail, self._rate.retry_seconds(self.waiting))
