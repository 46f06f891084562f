"""Flow control beside the plainest account of it: whatever happens in whatever order is judged at the very moment it happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference_engine.gateway.dispatch.flow_control import (
    FlowController,
    Limits,
    NotDispatched,
    Permit,
    Room,
    WaitOutcome,
)
from inference_engine.gateway.dispatch.flow_control.queues import Item, LabelQueue, Path, Whose
from tests.support.thorough import examples

LIMITS = Limits(requests=6, bytes=40, bands=3, concurrency=3, ttl_seconds=20, no_consumer_seconds=5)
#: Few of each, and some more often than others, so that requests meet: in a flow, in a band, and at the bounds.
LABELS = st.sampled_from("aab")
PRIORITIES = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, -1, 2])
PATHS = st.sampled_from([("x", "f"), ("x", "f"), ("x", "g"), ("x", "h"), ("y", "f"), ("y", "g"), ("z", "f")])
SIZES = st.sampled_from([0, 1, 2, 5, 5, 5, 8, 8, 12, 16, 40])
SECONDS = st.sampled_from([None, None, 2.5, 12.0, 60.0, 60.0])
#: Which of the callers that wait hangs up, if there is one.
WHO = st.sampled_from([None, None, None, None, None, None, 0, 1, 3])


@dataclass(frozen=True)
class Request:
    """What a caller asks for; `in_task` is whether it waits in a task, which may be cancelled."""

    label: str
    how: dict[str, Any]
    in_task: bool


HOWS = st.fixed_dictionaries({"priority": PRIORITIES, "path": PATHS, "size_bytes": SIZES, "seconds": SECONDS})
REQUESTS = st.builds(Request, LABELS, HOWS, st.booleans())
ROOMS = st.builds(Room, st.sampled_from([0, 1, 1, 2, 3]), st.sampled_from([True, True, False]))


@dataclass(eq=False)
class Asked:
    """What is known from outside of a request that waits."""

    item: Item
    label: str
    band: int
    whose: Whose
    bytes: int
    entered_at: float
    deadline: float
    task: asyncio.Task[Permit] | None
    left: bool = False


def give_way(peers: list[Asked], whose: Whose, size_bytes: int) -> list[Asked] | None:
    """Who of a band, in the order in which they came, loses its place to a newcomer; None where the newcomer is refused."""
    victims: list[Asked] = []
    if len(peers) >= LIMITS.requests:
        victim = giver(peers, whose, 1, lambda one: 1)
        if victim is None:
            return None
        victims = [victim]
    kept = list(peers)
    while sum(one.bytes for one in kept) + size_bytes > LIMITS.bytes:
        victim = giver(kept, whose, size_bytes, lambda one: one.bytes)
        if victim is None:
            return None
        kept.remove(victim)
    return [one for one in peers if one not in kept] or victims


def giver(peers: list[Asked], whose: Whose, amount: int, measure: Callable[[Asked], int]) -> Asked | None:
    """Who has most of all owners, of the owner's flows, or of the flow's labels, if the newcomer has less: its newest request."""
    have: Counter[tuple[str, ...]] = Counter()
    for one in peers:
        for level in (1, 2, 3):
            have[one.whose[:level]] += measure(one)

    def largest_of(whole: tuple[str, ...]) -> tuple[str, ...]:
        return min(
            (group for group in have if group[:-1] == whole), key=lambda group: (-have[group], group), default=()
        )

    for level in (1, 2, 3):
        largest = largest_of(whose[: level - 1])
        if largest and have[largest] > have[whose[:level]] + amount:
            while len(largest) < 3:
                largest = largest_of(largest)
            return [one for one in peers if one.whose == largest and measure(one)][-1]
    return None


class Judged(FlowController):
    """Flow control that keeps no end, and no way to one, which its own account does not allow at that moment."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        #: What there is for a label, and what flow control has been told of it, with the time at which consumers came or went.
        self.rooms = {"a": Room(1), "b": Room(2)}
        self.told: dict[str, tuple[Room, float]] = {}
        self.asked: dict[Item, Asked] = {}
        self.out: Counter[str] = Counter()
        self.items: list[Item] = []
        self.victims: list[Asked] = []
        self.ended = False
        self.closed = False
        super().__init__(LIMITS, lambda label: self.rooms[label], clock=clock)

    # --- the account --------------------------------------------------------------------------------------------------

    def in_use(self, label: str) -> bool:
        return self.out[label] > 0 or any(one.label == label for one in self.asked.values())

    def has_room(self, label: str) -> bool:
        free = self.out.total() < LIMITS.concurrency and not self.paused
        return free and self.out[label] < self.told[label][0].limit

    def ends_at(self, one: Asked) -> float:
        """A request may wait for room since it came or consumers did, and for consumers since it came or they went."""
        room, since = self.told[one.label]
        longest = LIMITS.ttl_seconds if room.served else LIMITS.no_consumer_seconds
        return min(one.deadline, max(one.entered_at, since) + longest)

    def could_go(self) -> list[Asked]:
        waiting = (one for one in self.asked.values() if not one.left and self.has_room(one.label))
        return [one for one in waiting if self.ends_at(one) > self.now()]

    def band_of(self, priority: int) -> int | None:
        bands = {one.band for one in self.asked.values()}
        if priority in bands or len(bands) < LIMITS.bands:
            return priority
        return max((band for band in bands if band < priority), default=None)

    def learn(self, label: str) -> None:
        """A label that was not in use is asked for its room."""
        if not self.in_use(label):
            self.told[label] = (self.rooms[label], 0.0)

    # --- what is judged -----------------------------------------------------------------------------------------------

    async def acquire(self, label: str, **how: Any) -> Permit:
        waits = len(self.items)
        try:
            permit = await super().acquire(label, **how)
        except NotDispatched:
            assert len(self.items) > waits or self.closed or not self.could_go()
            raise
        if len(self.items) == waits:
            # Who goes at once has to have room that nobody who waits could take.
            assert self.has_room(label)
            assert not any(self.has_room(one.label) for one in self.asked.values())
            assert not self.closed
            self.out[label] += 1
        return permit

    def _queue_of(self, label: str) -> LabelQueue:
        if not self.closed:
            self.learn(label)
        return super()._queue_of(label)

    def enqueue(
        self,
        label: str,
        *,
        priority: int = 0,
        path: Path = ("", ""),
        size_bytes: int = 0,
        seconds: float | None = None,
    ) -> Item:
        band = self.band_of(priority)
        peers = [one for one in self.asked.values() if one.band == band]
        victims = None if band is None else give_way(peers, (*path, label), size_bytes)
        self.victims = list(victims or ())
        try:
            item = super().enqueue(label, priority=priority, path=path, size_bytes=size_bytes, seconds=seconds)
        except NotDispatched as refused:
            self.judge_refusal(refused.outcome, peers, victims)
            raise
        assert not self.closed
        assert band is not None
        assert victims is not None
        assert not self.victims, "all of them, and no others, have lost their places"
        now, limit = self.now(), LIMITS.ttl_seconds if seconds is None else seconds
        task = asyncio.current_task()
        self.asked[item] = Asked(item, label, band, (*path, label), size_bytes, now, now + limit, task)
        self.items.append(item)
        return item

    def judge_refusal(self, outcome: WaitOutcome, peers: list[Asked], victims: list[Asked] | None) -> None:
        assert outcome is (WaitOutcome.SHUTTING_DOWN if self.closed else WaitOutcome.QUEUE_FULL)
        assert self.closed or victims is None
        assert all(one.item in self.asked for one in peers), "who is refused has cost nobody its place"

    def dispatch(self, at_most: int) -> int:
        gone = super().dispatch(at_most)
        assert gone == at_most or not self.could_go()
        return gone

    def sweep(self) -> None:
        for label, (room, since) in list(self.told.items()):
            if self.in_use(label):
                now = self.rooms[label]
                self.told[label] = (now, self.now() if now.served is not room.served else since)
        super().sweep()
        assert all(self.ends_at(one) > self.now() for one in self.asked.values())

    def _released(self, queue: LabelQueue) -> None:
        self.out[queue.label] -= 1
        super()._released(queue)

    def _settle(self, item: Item, outcome: WaitOutcome) -> None:
        one = self.asked[item]
        if outcome is WaitOutcome.DISPATCHED:
            could_go = self.could_go()
            assert one in could_go
            assert one.band == max(other.band for other in could_go)
            line = [other for other in could_go if (other.whose, other.band) == (one.whose, one.band)]
            assert one is line[0], "inside a flow first come, first served"
            self.out[one.label] += 1
        elif outcome in (WaitOutcome.TTL, WaitOutcome.NO_CONSUMER):
            assert self.ends_at(one) <= self.now()
            assert self.told[one.label][0].served is (outcome is WaitOutcome.TTL)
        elif outcome is WaitOutcome.QUEUE_FULL:
            self.victims.remove(one)
        elif outcome is WaitOutcome.CALLER_LEFT:
            assert one.left
        else:
            assert self.ended
        del self.asked[item]
        super()._settle(item, outcome)


class Machine(RuleBasedStateMachine):
    """Anything may happen in any order, also what callers do between the outcome of their requests and their own next step."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000.0
        self.steps = 0
        self.tasks: list[asyncio.Task[Permit]] = []
        self.permits: list[Permit] = []
        #: Dispatched requests that nobody waits for in a task.
        self.taken: list[Item] = []
        self.turn(lambda: setattr(self, "flow", Judged(lambda: self.now)))

    flow: Judged

    def turn(self, do: Callable[[], object], before: int | None = None, after: int | None = None) -> None:
        """Do something in one step of the loop; callers may hang up just before and just after, and find out later."""

        async def within() -> None:
            self.hang_up(before)
            do()
            self.hang_up(after)
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(within())
        self.steps += 1
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled():
                error = task.exception()
                assert error is None or isinstance(error, NotDispatched), error
                if error is None:
                    self.permits.append(task.result())

    def hang_up(self, who: int | None) -> None:
        if who is not None and self.tasks:
            task = self.tasks[who % len(self.tasks)]
            for one in self.flow.asked.values():
                one.left = one.left or one.task is task
            task.cancel()

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=6), before=WHO, after=WHO)
    def ask(self, requests: list[Request], before: int | None, after: int | None) -> None:
        for request in requests[:-1]:
            self.turn(lambda request=request: self.put(request))  # type: ignore[misc]
        self.turn(lambda: self.put(requests[-1]), before, after)

    def put(self, request: Request) -> None:
        if request.in_task:
            self.tasks.append(self.loop.create_task(self.flow.acquire(request.label, **request.how)))
            return
        try:
            item = self.flow.enqueue(request.label, **request.how)
        except NotDispatched:
            return
        self.flow.asked[item].task = None
        item.settled.add_done_callback(
            lambda settled: self.taken.append(item) if settled.result() is WaitOutcome.DISPATCHED else None
        )

    @precondition(lambda self: self.flow.asked)
    @rule(count=st.integers(1, 6), before=WHO, after=WHO)
    def dispatch(self, count: int, before: int | None, after: int | None) -> None:
        self.turn(lambda: self.flow.dispatch(count), before, after)

    @precondition(lambda self: self.permits or self.taken)
    @rule(count=st.integers(1, 3), before=WHO, after=WHO)
    def release(self, count: int, before: int | None, after: int | None) -> None:
        """Work ends, and others go in its place."""

        def do() -> None:
            for permit in self.permits[:count]:
                permit.release()
            for item in self.taken[:count]:
                self.flow._released(item.queue)
            del self.permits[:count], self.taken[:count]
            self.flow.dispatch(count)

        self.turn(do, before, after)

    @precondition(lambda self: any(one.task is None for one in self.flow.asked.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.flow.asked.values() if one.task is None]))
        one.left = True
        self.turn(lambda: self.flow._leave(one.item))

    @rule(
        seconds=st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0, 6.0, 15.0]),
        rooms=st.just({}) | st.dictionaries(LABELS, ROOMS, max_size=2),
        swept=st.booleans(),
        before=WHO,
        after=WHO,
    )
    def time_passes(
        self, seconds: float, rooms: dict[str, Room], swept: bool, before: int | None, after: int | None
    ) -> None:
        """Consumers come and go meanwhile; the controller may not have looked yet."""
        self.now += seconds
        self.flow.rooms.update(rooms)
        if swept:
            self.turn(self.flow.sweep, before, after)

    @rule(request=REQUESTS)
    def pause_and_resume(self, request: Request) -> None:
        """While nothing goes, requests come, and places fall free."""
        self.turn(self.flow.pause)
        self.turn(lambda: self.put(request))
        if self.permits:
            self.turn(self.permits.pop().release)
        self.turn(lambda: self.flow.dispatch(1))
        self.turn(self.flow.resume)

    @precondition(lambda self: self.steps > 40)
    @rule()
    def close(self) -> None:
        self.flow.closed = True
        self.turn(self.flow.close)

    @invariant()
    def counts_are_right(self) -> None:
        flow, waiting = self.flow, list(self.flow.asked.values())
        assert flow.waiting == len(waiting)
        assert flow.in_flight == flow.out.total() == len(self.permits) + len(self.taken) <= LIMITS.concurrency
        assert all(item.settled.done() is (item not in flow.asked) for item in flow.items)
        counts = Counter(one.band for one in waiting)
        assert {priority: band.requests for priority, band in flow.bands.items()} == counts
        for priority, band in flow.bands.items():
            assert band.bytes == sum(one.bytes for one in waiting if one.band == priority) <= LIMITS.bytes
            assert band.requests <= LIMITS.requests
        assert len(flow.bands) <= LIMITS.bands
        assert set(flow._labels) == {label for label in "ab" if flow.in_use(label)}

    def teardown(self) -> None:
        self.flow.ended = True
        try:
            self.turn(self.flow.evict_all)
            for permit in self.permits:
                permit.release()
            for item in self.taken:
                self.flow._released(item.queue)
            assert (self.flow.waiting, self.flow.in_flight, self.flow._labels, self.tasks) == (0, 0, {}, [])
            assert all(item.settled.done() for item in self.flow.items)
        finally:
            self.loop.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(200), stateful_step_count=60)
