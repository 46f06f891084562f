"""The controller: admits, dispatches, evicts.

    acquire ──► QUEUE_FULL | SHUTTING_DOWN            at once
       │
       ▼
    waiting ──► DISPATCHED ──► the caller's work ──► release
       │  │  └► TTL | NO_CONSUMER | SHUTTING_DOWN     evicted
       │  └───► CALLER_LEFT                           its task was cancelled
       └──────► DISPATCHED                            at once, where nothing else could go

Everything happens on one event loop. Between what is checked and what is written there is no `await`, so that nothing is locked;
the only task wakes when something may have become possible.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .limits import Limits, Outcome, Room
from .queues import EarliestDeadlineFirst, FirstComeFirstServed, Item, LabelQueue
from .turns import LabelTurns

#: Dispatches before others on the event loop get their turn.
BATCH = 128
#: How often rooms are asked for again, and what waited too long is looked for.
SWEEP_SECONDS = 1.0
#: What a refused caller is told to wait, at least, at most, and where nothing has been dispatched of late.
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS, RETRY_USUAL_SECONDS = 1.0, 60.0, 5.0


class Refused(Exception):
    """A request that was not dispatched; `outcome` tells why, `retry_seconds` when another try may succeed."""

    def __init__(self, outcome: Outcome, detail: str, retry_seconds: float) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_seconds = retry_seconds


@dataclass(slots=True)
class Band:
    """The requests of one priority that wait, over all labels."""

    requests: int = 0
    bytes: int = 0


class Permit:
    """A request that was dispatched and counts as on its way until it is released. Use it with `with`."""

    __slots__ = ("_controller", "_queue")

    def __init__(self, controller: FlowController, queue: LabelQueue) -> None:
        self._controller = controller
        self._queue: LabelQueue | None = queue

    @property
    def served(self) -> bool:
        """Whether any consumer lives, as far as is known now."""
        return self._queue is not None and self._queue.room.served

    def release(self) -> None:
        """The work is over; a second call does nothing."""
        queue, self._queue = self._queue, None
        if queue is not None:
            self._controller.released(queue)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()


class FlowController:
    """Lets requests go when their label has room; `room` tells how much, and must answer from memory.

    `room` is asked for labels that were not in use, and once a second for those that are. Run `run()` as a task.
    """

    def __init__(
        self, limits: Limits, room: Callable[[str], Room], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.outcomes: Counter[Outcome] = Counter()
        self.bands: dict[int, Band] = {}
        self.in_flight = 0
        self.waiting = 0
        self.paused = False
        self._room = room
        self._clock = clock
        self._new_order = EarliestDeadlineFirst if limits.order == "edf" else FirstComeFirstServed
        self._labels: dict[str, LabelQueue] = {}
        self._turns = LabelTurns()
        # What expires within each second of the clock.
        self._expiring: dict[int, set[Item]] = {}
        self._swept_at = clock()
        self._dispatched_then = 0
        self._per_second = 0.0
        self._closed = False
        self._wake = asyncio.Event()
        self._emptied: asyncio.Event | None = None
        self._tick: asyncio.TimerHandle | None = None

    # --- for callers --------------------------------------------------------------------------------------------------

    async def acquire(
        self, label: str, *, priority: int = 0, flow: str = "", size_bytes: int = 0, seconds: float | None = None
    ) -> Permit:
        """Wait until a request may go; `seconds` is how long its caller has in all, and its deadline. Raises Refused."""
        queue = self._queue_of(label)
        if self._goes_at_once(queue):
            self.outcomes[Outcome.DISPATCHED] += 1
            self._labels[label] = queue
            queue.in_flight += 1
            self.in_flight += 1
            self._watch()
            return Permit(self, queue)
        item = self.enqueue(label, priority=priority, flow=flow, size_bytes=size_bytes, seconds=seconds)
        try:
            outcome = await item.settled
        except asyncio.CancelledError:
            self._leave(item)
            raise
        if outcome is Outcome.DISPATCHED:
            return Permit(self, self._labels[label])
        raise self._refusal(outcome, item)

    def enqueue(
        self, label: str, *, priority: int = 0, flow: str = "", size_bytes: int = 0, seconds: float | None = None
    ) -> Item:
        """Have a request wait; who gets DISPATCHED by its `settled` has to `release` the label. Raises Refused."""
        queue = self._queue_of(label)
        self._check_bounds(priority, size_bytes)
        now, ttl = self._clock(), self.limits.ttl_seconds
        patience = ttl if seconds is None else seconds
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        item = Item(label, priority, flow, size_bytes, now + patience, now, now + min(patience, ttl), settled)
        band = self.bands.setdefault(priority, Band())
        band.requests += 1
        band.bytes += size_bytes
        self.waiting += 1
        self._labels[label] = queue
        queue.add(item)
        self._expiring.setdefault(int(item.expires_at), set()).add(item)
        self._turns.place(queue)
        self._watch()
        self._wake.set()
        return item

    def release(self, label: str) -> None:
        """One request of a label is not on its way any more."""
        self.released(self._labels[label])

    def released(self, queue: LabelQueue) -> None:
        """The same for who has the label's queue."""
        self.in_flight -= 1
        queue.in_flight -= 1
        self._changed(queue)
        if self._turns:
            self._wake.set()

    # --- for who runs it ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dispatch and evict until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._clock() - self._swept_at >= SWEEP_SECONDS:
                self.sweep()
            if self.dispatch(BATCH) == BATCH:
                # There may be more: after whoever else has something to do on this loop.
                asyncio.get_running_loop().call_soon(self._wake.set)
            self._watch()

    def dispatch(self, at_most: int) -> int:
        """Let up to so many requests go, the most urgent first; how many went."""
        now = self._clock()
        gone = 0
        while gone < at_most and self._turns and self.in_flight < self.limits.concurrency and not self.paused:
            queue = self._turns.next()
            item = queue.pop()
            if item.expires_at <= now or item.settled.done():
                self._settle(item, Outcome.CALLER_LEFT if item.settled.done() else Outcome.TTL)
            else:
                queue.in_flight += 1
                self.in_flight += 1
                gone += 1
                self._settle(item, Outcome.DISPATCHED)
            self._changed(queue)
        return gone

    def sweep(self) -> None:
        """Ask for rooms again, and evict what has waited too long."""
        now = self._clock()
        elapsed, self._swept_at = now - self._swept_at, now
        dispatched = self.outcomes[Outcome.DISPATCHED]
        self._per_second = (dispatched - self._dispatched_then) / elapsed if elapsed > 0 else 0.0
        self._dispatched_then = dispatched
        for queue in list(self._labels.values()):
            queue.room = self._room(queue.label)
            self._turns.place(queue)
        for item in self._late(now):
            self._evict(item, Outcome.TTL)
        if not all(queue.room.served for queue in self._labels.values()):
            for item in self._unserved(now - self.limits.patience_seconds):
                self._evict(item, Outcome.NO_CONSUMER)

    def pause(self) -> None:
        """Dispatch nothing until `resume`; requests may come and wait."""
        self.paused = True

    def resume(self) -> None:
        """Dispatch again."""
        self.paused = False
        self._wake.set()

    def close(self) -> None:
        """Admit nothing more; what waits is still dispatched."""
        self._closed = True

    async def emptied(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        while self._labels:
            self._emptied = self._emptied or asyncio.Event()
            await self._emptied.wait()

    def evict_all(self) -> None:
        """Refuse all that waits: the gateway stops."""
        for item in [item for items in self._expiring.values() for item in items]:
            self._evict(item, Outcome.SHUTTING_DOWN)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _queue_of(self, label: str) -> LabelQueue:
        """The queue of a label, a new one where it was not in use. Raises Refused when nothing is admitted any more."""
        if self._closed:
            raise self._refused(Outcome.SHUTTING_DOWN, "the gateway is shutting down")
        return self._labels.get(label) or LabelQueue(label, self._room(label), self._new_order)

    def _goes_at_once(self, queue: LabelQueue) -> bool:
        """Whether there is room, and nobody who waits could take it."""
        has_room = self.in_flight < self.limits.concurrency and queue.in_flight < queue.room.limit
        return has_room and not self._turns and not self.paused

    def _check_bounds(self, priority: int, size_bytes: int) -> None:
        limits, band = self.limits, self.bands.get(priority)
        if band is None and len(self.bands) >= limits.bands:
            problem = f"requests of {limits.bands} priorities wait already, priority {priority} would be one more"
        elif (requests := band.requests if band else 0) >= limits.requests:
            problem = f"{requests} requests of priority {priority} wait already, and no more may"
        elif (waiting := band.bytes if band else 0) + size_bytes > limits.bytes:
            problem = (
                f"requests of priority {priority} with {waiting} bytes wait already, {size_bytes} more are too many"
            )
        else:
            return
        raise self._refused(Outcome.QUEUE_FULL, problem)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        """The one end of a request's wait; it is out of its queue already."""
        item.outcome = outcome
        self.outcomes[outcome] += 1
        self.waiting -= 1
        band = self.bands[item.priority]
        band.requests -= 1
        band.bytes -= item.bytes
        if not band.requests:
            del self.bands[item.priority]
        second = int(item.expires_at)
        expiring = self._expiring[second]
        expiring.remove(item)
        if not expiring:
            del self._expiring[second]
        if not item.settled.done():
            item.settled.set_result(outcome)

    def _changed(self, queue: LabelQueue) -> None:
        """A label's requests or those on their way have changed."""
        if queue.waiting:
            self._turns.place(queue)
        elif queue.turn_at is not None or not queue.in_flight:
            self._turns.place(queue)
            if not queue.in_flight:
                self._labels.pop(queue.label, None)
                if not self._labels and self._emptied is not None:
                    self._emptied.set()
                    self._emptied = None

    def _leave(self, item: Item) -> None:
        """The caller has gone: the request is taken out, or what it was given is given back."""
        if item.outcome is None:
            self._evict(item, Outcome.CALLER_LEFT)
        elif item.outcome is Outcome.DISPATCHED:
            self.release(item.label)

    def _evict(self, item: Item, outcome: Outcome) -> None:
        queue = self._labels[item.label]
        queue.remove(item)
        self._settle(item, outcome)
        self._changed(queue)

    def _late(self, now: float) -> list[Item]:
        seconds = [second for second in self._expiring if second <= now]
        return [item for second in seconds for item in self._expiring[second] if item.expires_at <= now]

    def _unserved(self, since: float) -> list[Item]:
        """What has waited since then for labels that no consumer could serve."""
        unserved = {label for label, queue in self._labels.items() if not queue.room.served}
        waiting = (item for items in self._expiring.values() for item in items)
        return [item for item in waiting if item.label in unserved and item.entered_at <= since]

    def _watch(self) -> None:
        """Have the task look at what is in use again in a while."""
        if self._tick is None and self._labels:
            self._tick = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        self._wake.set()

    def _refusal(self, outcome: Outcome, item: Item) -> Refused:
        waited = self._clock() - item.entered_at
        detail = {
            Outcome.TTL: f"label {item.label!r} had no room within {waited:.1f} s",
            Outcome.NO_CONSUMER: f"no consumer lived for {waited:.1f} s",
            Outcome.SHUTTING_DOWN: "the gateway is shutting down",
        }[outcome]
        return Refused(outcome, detail, self._retry_seconds())

    def _refused(self, outcome: Outcome, detail: str) -> Refused:
        """A refusal without a wait."""
        self.outcomes[outcome] += 1
        return Refused(outcome, detail, self._retry_seconds())

    def _retry_seconds(self) -> float:
        """About as long as what waits now will take."""
        usual = self.waiting / self._per_second if self._per_second else RETRY_USUAL_SECONDS
        return min(RETRY_MAX_SECONDS, max(RETRY_MIN_SECONDS, usual))
