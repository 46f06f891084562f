"""Flow control: who goes next, who is turned away, and that each request ends exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from graphlib import TopologicalSorter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.gateway.dispatch.flow_control import (
    FlowController,
    Limits,
    NotDispatched,
    Permit,
    Room,
    WaitOutcome,
)
from inference_engine.gateway.dispatch.flow_control.admission import FullError, WaitingBands
from inference_engine.gateway.dispatch.flow_control.controller import BATCH
from inference_engine.gateway.dispatch.flow_control.queues import FirstComeFirstServed, Item, LabelQueue, Path, Whose
from inference_engine.gateway.dispatch.flow_control.shares import REQUESTS, Group
from tests.support.thorough import examples
from tests.support.waiting import HANG_SECONDS

ALL = 10_000

#: Whose request has come, and its bytes.
Came = tuple[Whose, int]


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def controller(clock: Clock | None = None, *, room: int = 0, **limits: object) -> FlowController:
    """A controller whose labels all have that much room; `room` 0 has everything wait."""
    return FlowController(
        Limits(**limits),  # type: ignore[arg-type]
        lambda label: Room(room),
        clock=clock or Clock(),
    )


def opened(flow: FlowController, limit: int = ALL, *, served: bool = True) -> None:
    """Give every label that much room, from now on."""
    flow._room = lambda label: Room(limit, served)
    flow.sweep()


def release(flow: FlowController, label: str) -> None:
    """The work of one request that was dispatched without `acquire` is over."""
    Permit(flow._labels[label], flow._released).release()


class Watched:
    """Items by the order in which they were dispatched."""

    def __init__(self, flow: FlowController) -> None:
        self.flow = flow
        self.order: list[str] = []

    def put(self, name: str, label: str = "m", **how: object) -> Item:
        item = self.flow.enqueue(label, **how)  # type: ignore[arg-type]
        item.settled.add_done_callback(
            lambda settled: self.order.append(name) if settled.result() is WaitOutcome.DISPATCHED else None
        )
        return item

    async def went(self, at_most: int = ALL) -> list[str]:
        """What is dispatched now."""
        self.order.clear()
        self.flow.dispatch(at_most)
        await asyncio.sleep(0)
        return list(self.order)


# --- order ----------------------------------------------------------------------------------------------------------------


async def test_higher_bands_go_first_whatever_came_first() -> None:
    flow = controller()
    watched = Watched(flow)
    for name, priority in (("low", -5), ("usual", 0), ("high", 7), ("low too", -5), ("high too", 7)):
        watched.put(name, priority=priority)
    opened(flow)
    assert await watched.went() == ["high", "high too", "usual", "low", "low too"]


async def test_flows_of_a_band_take_turns() -> None:
    flow = controller()
    watched = Watched(flow)
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        watched.put(name, path=("", name[0]))
    opened(flow)
    assert await watched.went() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_owners_take_turns_however_many_flows_they_name() -> None:
    flow = controller()
    watched = Watched(flow)
    for number in range(5):
        watched.put(f"greedy {number}", path=("greedy", f"flow-{number}"))
    for number in range(3):
        watched.put(f"modest {number}", path=("modest", ""))
    opened(flow)
    went = await watched.went()
    assert went[:6] == ["greedy 0", "modest 0", "greedy 1", "modest 1", "greedy 2", "modest 2"]


async def test_labels_of_a_band_take_turns() -> None:
    flow = controller(concurrency=ALL)
    watched = Watched(flow)
    for name in ("a1", "a2", "a3", "b1"):
        watched.put(name, name[0])
    opened(flow)
    assert await watched.went() == ["a1", "b1", "a2", "a3"]


async def test_within_a_flow_the_earliest_deadline_goes_first_when_asked() -> None:
    flow = controller(order="edf")
    watched = Watched(flow)
    for name, seconds in (("late", 50), ("soon", 5), ("gone", 1), ("soon too", 5), ("middle", 20)):
        item = watched.put(name, seconds=seconds)
        if name == "gone":
            flow._leave(item)
    opened(flow)
    assert await watched.went() == ["soon", "soon too", "middle", "late"]


async def test_a_saturated_label_stops_all_its_bands_and_no_other_label() -> None:
    flow = controller()
    watched = Watched(flow)
    watched.put("full, urgent", "full", priority=9)
    watched.put("full, not urgent", "full", priority=-9)
    watched.put("free", "free", priority=-9)
    flow._room = lambda label: Room(0 if label == "full" else 1)
    flow.sweep()
    assert await watched.went() == ["free"]
    flow._room = lambda label: Room(1)
    flow.sweep()
    assert await watched.went() == ["full, urgent"]
    assert await watched.went() == []
    release(flow, "full")
    assert await watched.went() == ["full, not urgent"]


async def test_what_is_on_its_way_is_bounded_over_all_labels() -> None:
    flow = controller(concurrency=2)
    watched = Watched(flow)
    for label in "abc":
        watched.put(label, label)
    opened(flow)
    assert await watched.went() == ["a", "b"]
    release(flow, "a")
    assert await watched.went() == ["c"]


async def test_an_urgent_request_of_a_label_does_not_cost_it_its_turn_in_lower_bands() -> None:
    flow = controller(concurrency=1)
    watched = Watched(flow)
    for name in ("a1", "b1", "c1", "b2", "c2"):
        watched.put(name, name[0])
    opened(flow, 9)
    order: list[str] = []
    for turn in range(8):
        if turn % 2 == 0 and turn < 6:
            watched.put(f"urgent {turn}", "a", priority=5)
        [went] = await watched.went()
        order.append(went)
        release(flow, went[0] if went[1].isdigit() else "a")
    assert order == ["urgent 0", "a1", "urgent 2", "b1", "urgent 4", "c1", "b2", "c2"]


async def test_a_label_that_is_often_saturated_keeps_its_turn() -> None:
    flow = controller(concurrency=2)
    watched = Watched(flow)
    flow._room = lambda label: Room(1 if label == "tight" else ALL)
    for number in range(4):
        watched.put(f"tight {number}", "tight")
        watched.put(f"wide {number}", "wide")
    flow.sweep()
    assert await watched.went() == ["tight 0", "wide 0"]
    release(flow, "wide")
    assert await watched.went() == ["wide 1"]
    release(flow, "tight")
    assert await watched.went() == ["tight 1"]


# --- bounds ---------------------------------------------------------------------------------------------------------------


async def test_a_band_is_bounded_by_requests_and_by_bytes_and_bands_by_their_number() -> None:
    flow = controller(requests=2, bytes=100, bands=2)
    flow.enqueue("m", size_bytes=60)
    with pytest.raises(NotDispatched, match="take 60 bytes") as refused:
        flow.enqueue("m", size_bytes=41)
    assert refused.value.outcome is WaitOutcome.QUEUE_FULL
    flow.enqueue("m", size_bytes=40)
    with pytest.raises(NotDispatched, match="2 requests of priority 0 are already waiting"):
        flow.enqueue("m", size_bytes=0)
    flow.enqueue("m", priority=1)
    with pytest.raises(NotDispatched, match="2 priorities are already waiting, all of them above -1"):
        flow.enqueue("m", priority=-1)
    assert flow.outcomes[WaitOutcome.QUEUE_FULL] == 3
    opened(flow)
    flow.dispatch(ALL)
    flow.enqueue("m", priority=2)
    assert sorted(flow.bands) == [2]


async def test_low_bands_never_lock_out_higher_ones() -> None:
    flow = controller(bands=2, requests=3)
    watched = Watched(flow)
    for name, priority in (("low", -9), ("less low", -8), ("high", 100), ("higher", 101)):
        watched.put(name, priority=priority, path=("", name))
    assert sorted(flow.bands) == [-9, -8]
    opened(flow)
    assert await watched.went() == ["less low", "high", "higher", "low"]


async def test_a_burst_makes_room_for_who_has_less_in_a_full_band() -> None:
    flow = controller(requests=4)
    burst = [flow.enqueue("m", path=("burst", "")) for _ in range(4)]
    with pytest.raises(NotDispatched, match="4 requests of priority 0 are already waiting"):
        flow.enqueue("m", path=("burst", ""))
    single = [flow.enqueue("other", path=("single", "")) for _ in range(2)]
    assert [item.outcome for item in burst] == [None, None, WaitOutcome.QUEUE_FULL, WaitOutcome.QUEUE_FULL]
    with pytest.raises(NotDispatched, match="already waiting"):
        flow.enqueue("other", path=("single", ""))
    assert [item.outcome for item in single] == [None, None]
    assert flow.bands[0].requests == 4


async def test_an_owner_has_no_more_room_by_naming_more_flows() -> None:
    flow = controller(requests=100)
    modest = [flow.enqueue("m", path=("modest", "")) for _ in range(100)]
    for number in range(200):
        with contextlib.suppress(NotDispatched):
            flow.enqueue("m", path=("greedy", f"flow-{number}"))
    assert [item.outcome for item in modest] == [None] * 50 + [WaitOutcome.QUEUE_FULL] * 50
    for late in ("late", "later"):
        assert flow.enqueue("m", path=(late, "")).outcome is None
    assert flow.bands[0].requests == 100


async def test_an_owner_that_fills_a_band_with_flows_makes_room_for_others() -> None:
    flow = controller(requests=4)
    greedy = [flow.enqueue("m", path=("greedy", name)) for name in "abbc"]
    assert flow.enqueue("m", path=("other", "")).outcome is None
    assert [item.outcome for item in greedy] == [None, None, WaitOutcome.QUEUE_FULL, None], (
        "the newest of its largest flow"
    )
    assert flow.enqueue("m", path=("third", "")).outcome is None
    assert [item.outcome for item in greedy].count(WaitOutcome.QUEUE_FULL) == 2


async def test_inside_an_owner_that_may_have_no_more_a_flow_that_has_less_makes_room_for_itself() -> None:
    flow = controller(requests=8)
    for owner in ("one", "other"):
        batch = [flow.enqueue("m", path=(owner, "batch")) for _ in range(4)]
    single = flow.enqueue("m", path=("other", "single"))
    assert single.outcome is None
    assert [item.outcome for item in batch] == [None, None, None, WaitOutcome.QUEUE_FULL]
    with pytest.raises(NotDispatched, match="8 requests of priority 0 are already waiting"):
        flow.enqueue("m", path=("other", "batch"))


async def test_a_label_that_fills_a_band_makes_room_for_other_labels_of_the_same_flow() -> None:
    flow = controller(requests=4)
    stuck = [flow.enqueue("stuck", path=("key", "flow")) for _ in range(4)]
    others = [flow.enqueue(label, path=("key", "flow")) for label in ("one", "other")]
    assert [item.outcome for item in stuck] == [None, None, WaitOutcome.QUEUE_FULL, WaitOutcome.QUEUE_FULL]
    with pytest.raises(NotDispatched, match="4 requests of priority 0 are already waiting"):
        flow.enqueue("stuck", path=("key", "flow"))
    assert {item.outcome for item in others} == {None}


async def test_an_owner_and_a_flow_have_no_more_room_by_asking_for_more_labels() -> None:
    flow = controller(requests=60)
    modest = [flow.enqueue("m", path=("modest", "")) for _ in range(30)]
    sibling = [flow.enqueue("m", path=("greedy", "modest")) for _ in range(15)]
    for number in range(100):
        with contextlib.suppress(NotDispatched):
            flow.enqueue(f"label-{number}", path=("greedy", "greedy"))
    assert {item.outcome for item in modest + sibling} == {None}
    assert flow.bands[0].requests == 60


async def test_who_gives_gives_the_newest_of_its_largest_flows_largest_label() -> None:
    flow = controller(requests=9)
    of = [("small", "m"), ("small", "m"), ("small", "m"), *(("large", label) for label in "abbabc")]
    greedy = [flow.enqueue(label, path=("greedy", name)) for name, label in of]
    assert flow.enqueue("m", path=("other", "")).outcome is None
    [gone] = [item for item in greedy if item.outcome is WaitOutcome.QUEUE_FULL]
    assert gone is greedy[7], "the newest for label b, which has most of the larger flow"


async def test_large_bodies_for_one_label_do_not_close_a_band_for_another() -> None:
    flow = controller(bytes=32_000)
    large = [flow.enqueue("large", size_bytes=16_000) for _ in range(2)]
    assert flow.enqueue("small", size_bytes=100).outcome is None
    assert [item.outcome for item in large] == [None, WaitOutcome.QUEUE_FULL]


async def test_large_bodies_do_not_close_a_band_for_small_ones() -> None:
    flow = controller(bytes=32_000)
    large = [flow.enqueue("m", path=("large", ""), size_bytes=16_000) for _ in range(2)]
    small = [flow.enqueue("other", path=(name, ""), size_bytes=100) for name in ("small", "smaller")]
    assert [item.outcome for item in large] == [None, WaitOutcome.QUEUE_FULL]
    with pytest.raises(NotDispatched, match="take 16200 bytes and leave no room for 16000 more"):
        flow.enqueue("m", path=("large", ""), size_bytes=16_000)
    assert [item.outcome for item in small] == [None, None]
    assert flow.bands[0].bytes == 16_200


async def test_as_many_lose_their_places_as_one_needs_and_none_where_it_is_refused_all_the_same() -> None:
    flow = controller(bytes=100)
    burst = [flow.enqueue("m", path=("burst", ""), size_bytes=10) for _ in range(8)]
    other = flow.enqueue("m", path=("other", ""), size_bytes=20)
    with pytest.raises(NotDispatched, match="take 100 bytes and leave no room for 50 more"):
        flow.enqueue("m", path=("late", ""), size_bytes=50)
    assert {item.outcome for item in [*burst, other]} == {None}
    assert flow.enqueue("m", path=("late", ""), size_bytes=35).outcome is None
    assert [item.outcome for item in burst] == [None] * 4 + [WaitOutcome.QUEUE_FULL] * 4
    assert other.outcome is None
    assert flow.bands[0].bytes == 95


async def test_requests_without_a_body_do_not_lose_their_places_for_bytes() -> None:
    flow = controller(bytes=10)
    body, empty = (flow.enqueue("m", path=("burst", ""), size_bytes=size_bytes) for size_bytes in (10, 0))
    assert flow.enqueue("m", path=("late", ""), size_bytes=1).outcome is None
    assert (body.outcome, empty.outcome) == (WaitOutcome.QUEUE_FULL, None)


async def test_one_request_costs_few_others_their_places_unless_it_has_no_more_than_its_share() -> None:
    flow = controller(bytes=1000)
    burst = [flow.enqueue("m", path=("burst", ""), size_bytes=1) for _ in range(900)]
    other = flow.enqueue("m", path=("other", ""), size_bytes=100)
    with pytest.raises(NotDispatched, match="take 1000 bytes and leave no room for 334 more"):
        flow.enqueue("m", path=("late", ""), size_bytes=334)
    assert {item.outcome for item in burst} == {None}
    assert flow.enqueue("m", path=("late", ""), size_bytes=333).outcome is None
    assert [item.outcome for item in burst] == [None] * 567 + [WaitOutcome.QUEUE_FULL] * 333
    assert flow.enqueue("m", path=("late", "more"), size_bytes=64).outcome is None
    assert burst[567 - 64 :][0].outcome is WaitOutcome.QUEUE_FULL
    assert other.outcome is None


async def test_who_can_go_at_once_needs_no_place_to_wait() -> None:
    flow = controller(room=1, requests=0)
    with await flow.acquire("m"), pytest.raises(NotDispatched, match="0 requests of priority 0"):
        await flow.acquire("m")
    with await flow.acquire("m"):
        pass
    assert flow.in_flight == 0


async def test_who_could_go_at_once_does_not_overtake_who_waits() -> None:
    flow = controller(room=1, concurrency=1)
    permit = await flow.acquire("a")
    waiting = flow.enqueue("b")
    permit.release()
    late = asyncio.ensure_future(flow.acquire("c"))
    await asyncio.sleep(0)
    flow.dispatch(ALL)
    assert waiting.outcome is WaitOutcome.DISPATCHED
    assert not late.done()
    release(flow, "b")
    flow.dispatch(ALL)
    (await late).release()


@pytest.mark.parametrize("path", [("", ""), ("other", "")])
async def test_nobody_is_refused_or_loses_its_place_for_who_could_have_gone_before(path: Path) -> None:
    """The label has room again, but the task that lets its requests go has not run yet."""
    flow = controller(requests=3, room=1)
    first = await flow.acquire("m")
    waiting = [flow.enqueue("m") for _ in range(3)]
    flow.dispatch(ALL)
    first.release()
    late = asyncio.ensure_future(flow.acquire("m", path=path))
    await asyncio.sleep(0)
    assert [item.outcome for item in waiting] == [WaitOutcome.DISPATCHED, None, None]
    assert not late.done()
    late.cancel()


async def test_nobody_is_refused_however_many_could_have_gone_before() -> None:
    flow = controller(requests=2 * BATCH, room=ALL)
    flow.pause()
    waiting = [flow.enqueue("m", priority=priority) for priority in (1, 0) for _ in range(2 * BATCH)]
    flow.resume()
    late = asyncio.ensure_future(flow.acquire("m"))
    await asyncio.sleep(0)
    assert [item.outcome for item in waiting[: 2 * BATCH]] == [WaitOutcome.DISPATCHED] * 2 * BATCH
    assert flow.outcomes[WaitOutcome.QUEUE_FULL] == 0
    late.cancel()


async def test_who_needs_no_place_is_not_refused_for_who_could_have_gone_before() -> None:
    """An urgent request could go, and so may one whose band is full, as its own label has room."""
    flow = FlowController(Limits(requests=2), lambda label: Room(ALL if label == "free" else 1))
    first = await flow.acquire("m")
    urgent = flow.enqueue("m", priority=1)
    for _ in range(2):
        flow.enqueue("m")
    flow.dispatch(ALL)
    first.release()
    late = asyncio.ensure_future(flow.acquire("free"))
    await asyncio.sleep(0)
    assert urgent.outcome is WaitOutcome.DISPATCHED
    assert late.done()
    assert (flow.in_flight, flow.waiting, flow.outcomes[WaitOutcome.QUEUE_FULL]) == (2, 2, 0)


async def test_who_has_waited_too_long_keeps_nobody_out_of_a_full_band() -> None:
    """With it, met only when the next one of its label comes, the label is forgotten, and comes into use again."""
    clock = Clock()
    flow = controller(clock, requests=1, room=1, concurrency=2)
    gone = flow.enqueue("m", seconds=1)
    clock.now += 2
    with await flow.acquire("m"):
        assert gone.outcome is WaitOutcome.TTL
        assert flow._labels["m"].in_flight == flow.in_flight == 1
    assert (flow.in_flight, flow._labels) == (0, {})


async def test_an_urgent_caller_with_a_place_to_wait_goes_before_who_waits() -> None:
    flow = controller(room=1)
    first = await flow.acquire("m")
    patient = flow.enqueue("m", priority=-1)
    first.release()
    urgent = asyncio.ensure_future(flow.acquire("m", priority=1))
    await asyncio.sleep(0)
    flow.dispatch(ALL)
    await asyncio.sleep(0)
    assert (urgent.done(), patient.outcome) == (True, None)


async def test_nothing_is_kept_of_what_is_over() -> None:
    flow = controller(room=1)
    for number in range(100):
        with await flow.acquire(f"label-{number}", path=(f"owner-{number}", "flow")):
            item = flow.enqueue(f"label-{number}", priority=number % 8, path=("owner", f"flow-{number}"))
        flow.dispatch(ALL)
        assert item.outcome is WaitOutcome.DISPATCHED
        release(flow, f"label-{number}")
    assert (flow.waiting, flow.in_flight, flow.bands, flow._labels) == (0, 0, {}, {})
    assert not flow._check_times
    assert not flow._turns


async def test_places_of_who_left_are_forgotten() -> None:
    flow = controller()
    for number in range(1000):
        flow._leave(flow.enqueue(f"label-{number}", priority=number % 5))
    assert sum(map(len, flow._turns._lines.values())) <= 2 * 64


# --- ends -----------------------------------------------------------------------------------------------------------------


async def test_a_request_whose_time_is_over_is_evicted_by_the_sweep_and_never_dispatched() -> None:
    clock = Clock()
    flow = controller(clock, ttl_seconds=10)
    short, usual, long = (flow.enqueue("m", seconds=seconds) for seconds in (2.5, 10, 99))
    clock.now += 2.6
    flow.sweep()
    assert (short.outcome, usual.outcome) == (WaitOutcome.TTL, None)
    clock.now += 7.5
    flow._labels["m"].room = Room(ALL)
    flow._turns.settle(flow._labels["m"])
    assert flow.dispatch(ALL) == 0
    assert usual.outcome is long.outcome is WaitOutcome.TTL


@pytest.mark.parametrize("order", ["fcfs", "edf"])
async def test_a_request_that_is_met_too_late_costs_neither_its_flow_nor_its_label_their_turn(order: str) -> None:
    clock = Clock()
    flow = controller(clock, order=order)
    watched = Watched(flow)
    late = [watched.put(f"late {number}", "a", path=("", "x"), seconds=0.5) for number in range(3)]
    for name, label, path in (("a x", "a", "x"), ("a y", "a", "y"), ("b x", "b", "x"), ("a x too", "a", "x")):
        watched.put(name, label, path=("", path))
    opened(flow)
    clock.now += 0.6
    assert await watched.went() == ["a x", "b x", "a y", "a x too"]
    assert {item.outcome for item in late} == {WaitOutcome.TTL}
    assert (flow.waiting, flow.outcomes[WaitOutcome.TTL], flow.outcomes[WaitOutcome.DISPATCHED]) == (0, 3, 4)


@pytest.mark.parametrize(("ttl_seconds", "no_consumer_seconds"), [(100, 10), (3, 10)])
async def test_the_limit_without_a_consumer_is_another_and_begins_when_consumers_go(
    ttl_seconds: float, no_consumer_seconds: float
) -> None:
    clock = Clock()
    flow = controller(clock, ttl_seconds=ttl_seconds, no_consumer_seconds=no_consumer_seconds)
    waiting = asyncio.ensure_future(flow.acquire("m", seconds=500))
    await asyncio.sleep(0)
    clock.now += 2
    opened(flow, 0, served=False)
    clock.now += 9
    flow.sweep()
    assert not waiting.done()
    clock.now += 2
    flow.sweep()
    with pytest.raises(NotDispatched, match=r"there was no live consumer for 13\.0 s") as refused:
        await waiting
    assert refused.value.outcome is WaitOutcome.NO_CONSUMER


async def test_who_has_waited_for_a_consumer_has_the_usual_time_when_one_comes() -> None:
    clock = Clock()
    flow = FlowController(
        Limits(ttl_seconds=5, no_consumer_seconds=100), lambda label: Room(0, served=False), clock=clock
    )
    item = flow.enqueue("m", seconds=500)
    for _ in range(9):
        clock.now += 10
        flow.sweep()
    opened(flow, 0)
    clock.now += 4
    flow.sweep()
    assert item.outcome is None
    clock.now += 2
    flow.sweep()
    assert item.outcome is WaitOutcome.TTL


async def test_a_caller_that_leaves_is_taken_out_at_once() -> None:
    flow = controller(bytes=10)
    waiting = asyncio.ensure_future(flow.acquire("m", size_bytes=10))
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert (flow.waiting, flow.bands, flow.outcomes) == (0, {}, Counter({WaitOutcome.CALLER_LEFT: 1}))


async def test_a_caller_that_leaves_at_the_moment_of_its_turn_gives_it_back() -> None:
    flow = controller()
    waiting = asyncio.ensure_future(flow.acquire("m"))
    await asyncio.sleep(0)
    opened(flow, 1)
    flow.dispatch(ALL)
    assert flow.in_flight == 1
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert (flow.in_flight, flow._labels) == (0, {})


async def test_a_closed_controller_admits_nothing_and_ends_what_waits() -> None:
    flow = controller()
    item = flow.enqueue("m")
    flow.close()
    with pytest.raises(NotDispatched, match="shutting down"):
        flow.enqueue("m")
    with pytest.raises(NotDispatched, match="shutting down"):
        await flow.acquire("m")
    assert item.outcome is None
    flow.evict_all()
    assert item.outcome is WaitOutcome.SHUTTING_DOWN


async def test_a_refused_caller_is_told_when_to_come_again() -> None:
    clock = Clock()
    flow = controller(clock, requests=100)
    for _ in range(100):
        flow.enqueue("m")
    opened(flow, 20)
    flow.dispatch(ALL)
    clock.now += 2
    flow.sweep()
    for _ in range(20):
        flow.enqueue("m")
    with pytest.raises(NotDispatched) as refused:
        flow.enqueue("m")
    assert refused.value.retry_seconds == pytest.approx(10)


async def test_who_is_refused_after_a_quiet_time_is_told_the_usual_time() -> None:
    clock = Clock()
    flow = controller(clock, requests=100, room=10)
    task = asyncio.create_task(flow.run())
    clock.now += 3600
    callers = [asyncio.create_task(flow.acquire("m")) for _ in range(110)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (flow.in_flight, flow.waiting) == (10, 100)
    with pytest.raises(NotDispatched) as refused:
        await flow.acquire("m")
    assert refused.value.retry_seconds == 5
    clock.now += 2
    flow.sweep()
    with pytest.raises(NotDispatched) as refused:
        await flow.acquire("m")
    assert refused.value.retry_seconds == pytest.approx(100 / 5)
    for caller in callers:
        caller.cancel()
    task.cancel()


async def test_the_task_goes_on_by_itself_for_room_time_and_pauses() -> None:
    room = {"m": 0}
    flow = FlowController(Limits(ttl_seconds=30), lambda label: Room(room[label]))
    task = asyncio.create_task(flow.run())
    try:
        waiting = asyncio.ensure_future(flow.acquire("m"))
        await asyncio.sleep(0)
        room["m"] = 1
        permit: Permit = await asyncio.wait_for(waiting, HANG_SECONDS)
        flow.pause()
        second = asyncio.ensure_future(flow.acquire("m"))
        permit.release()
        permit.release()
        await asyncio.sleep(0.01)
        assert not second.done()
        flow.resume()
        (await asyncio.wait_for(second, HANG_SECONDS)).release()
        assert flow.in_flight == 0
    finally:
        task.cancel()


# --- rules that always hold -----------------------------------------------------------------------------------------------


@settings(max_examples=examples(60))
@given(
    flows=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    order=st.sampled_from(["fcfs", "edf"]),
    room=st.integers(1, 7),
)
async def test_no_flow_starves_inside_a_band(flows: list[int], order: str, room: int) -> None:
    """Between two turns of a flow that waits, every other flow has at most one; while new requests come without end."""
    flow = controller(requests=ALL, order=order)
    turns: list[int] = []

    def put(number: int) -> None:
        item = flow.enqueue("m", path=("", str(number)))
        item.settled.add_done_callback(lambda _: turns.append(number))

    for number, requests in enumerate(flows):
        for _ in range(requests):
            put(number)
    opened(flow, room)
    for _ in range(3 * len(flows)):
        before = len(turns)
        flow.dispatch(1)
        await asyncio.sleep(0)
        for number in turns[before:]:
            put(number)
            release(flow, "m")
    assert len(turns) == 3 * len(flows)
    for start in range(0, len(turns), len(flows)):
        assert sorted(turns[start : start + len(flows)]) == list(range(len(flows)))


@settings(max_examples=examples(100))
@given(labels=st.integers(2, 6), urgent=st.lists(st.none() | st.integers(0, 5), max_size=80))
async def test_no_label_starves_inside_a_band(labels: int, urgent: list[int | None]) -> None:
    """Whatever urgent requests come in between: between two turns of a label every other one of its band has at most one."""
    flow = controller(requests=ALL, concurrency=1, room=ALL)
    flow.pause()
    turns: list[str] = []

    def put(label: str, priority: int = 0) -> None:
        item = flow.enqueue(label, priority=priority)
        item.settled.add_done_callback(lambda _: turns.append(label) if not priority else None)

    for label in range(labels):
        for _ in range(40):
            put(str(label))
    flow.resume()
    for comes in [*urgent, *[None] * (5 * labels)]:
        if comes is not None:
            put(str(comes % labels), 1)
        before = {label: queue.in_flight for label, queue in flow._labels.items()}
        assert flow.dispatch(1) == 1
        await asyncio.sleep(0)
        [gone] = [label for label, queue in flow._labels.items() if queue.in_flight > before[label]]
        release(flow, gone)
        counts = [turns.count(str(label)) for label in range(labels)]
        assert max(counts) - min(counts) <= 1


OWNERS = st.sampled_from("abcd")
FLOWS = st.sampled_from("fgh")
LABELS = st.sampled_from("lmn")
PATHS: list[Path] = [("a", "f"), ("a", "g"), ("b", "f")]


@settings(max_examples=examples(300))
@given(
    requests=st.integers(3, 20),
    comes=st.lists(st.tuples(OWNERS, FLOWS, LABELS, st.integers(0, 25)), min_size=20, max_size=80),
)
async def test_a_share_of_a_band_is_sure(requests: int, comes: list[tuple[str, str, str, int]]) -> None:
    """Who has no more than its share, on any level, loses nothing; who would have no more is never refused.

    An owner's share is bound / owners, a flow's is that / its owner's flows, and a label's that / its flow's labels.
    """
    flow = controller(requests=requests, bytes=100)
    waiting: list[Item] = []

    def has(group: tuple[str, ...]) -> tuple[int, int]:
        own = [item.bytes for item in waiting if item.whose[: len(group)] == group and item.outcome is None]
        return len(own), sum(own)

    for owner, name, label, size_bytes in comes:
        whose = (owner, name, label)
        groups = {one[:level] for one in (*(item.whose for item in waiting), whose) for level in (1, 2, 3)}
        own = {whose[:level] for level in (1, 2, 3)}
        shares = {group: parts_of_band(group, groups) for group in groups}
        had = {group: has(group) for group in groups}
        try:
            item = flow.enqueue(label, path=(owner, name), size_bytes=size_bytes)
        except NotDispatched:
            assert {group: has(group) for group in groups} == had, "who is refused has cost nobody its place"
            assert all((had[group][0] + 1) * shares[group] > requests for group in own) or all(
                (had[group][1] + size_bytes) * shares[group] > 100 for group in own
            )
        else:
            for group in groups - own:
                if has(group) != had[group]:
                    assert had[group][0] * shares[group] > requests or had[group][1] * shares[group] > 100
            waiting = [one for one in [*waiting, item] if one.outcome is None]


def parts_of_band(group: tuple[str, ...], groups: set[tuple[str, ...]]) -> int:
    """How many shares of this size a band has: its owners, by the owner's flows, by the flow's labels."""
    siblings = [sum(one[:-1] == group[:level] for one in groups) for level in range(len(group))]
    return math.prod(siblings)


@settings(max_examples=examples(200))
@given(
    requests=st.integers(2, 12),
    comes=st.lists(st.tuples(st.sampled_from(PATHS), LABELS), min_size=10, max_size=60),
)
async def test_a_label_is_not_shut_out_by_others_of_its_flow(requests: int, comes: list[tuple[Path, str]]) -> None:
    """A label that has no more than its share of its flow's part of a band loses no place, and is not refused."""
    flow = controller(requests=requests)
    waiting: list[Item] = []
    for path, label in comes:
        before = [item for item in waiting if item.outcome is None]
        all_groups = {one[:level] for one in (*(item.whose for item in before), (*path, label)) for level in (1, 2, 3)}
        counts = Counter(item.whose for item in before)
        try:
            waiting = [*before, flow.enqueue(label, path=path)]
        except NotDispatched:
            assert (counts[*path, label] + 1) * parts_of_band((*path, label), all_groups) > requests
        for item in before:
            if item.outcome is not None:
                assert counts[item.whose] * parts_of_band(item.whose, all_groups) > requests


@settings(max_examples=examples(100))
@given(steps=st.lists(st.tuples(st.sampled_from("abcde"), st.integers(-4, 6), st.booleans()), max_size=120))
def test_who_has_most_is_known_however_it_changes(steps: list[tuple[str, int, bool]]) -> None:
    everybody: Group[object] = Group()
    have: Counter[str] = Counter()
    for name, more, asked in steps:
        if more > 0:
            everybody.at([name]).gain(more, 0)
        elif lost := min(-more, have[name]):
            everybody.parts[name].lose(lost, 0)
            more = -lost
        have[name] = max(0, have[name] + more)
        if asked:
            most = min((name for name in +have), key=lambda name: (-have[name], name), default=None)
            assert everybody.most(REQUESTS) is (everybody.parts[most] if most else None)
            assert {name: part.requests for name, part in everybody.parts.items()} == dict(+have)


def test_who_has_most_is_found_by_looking_at_few() -> None:
    """Also where one that has most by far gets more and less all the time."""
    looked = 0

    def measure(group: Group[object]) -> int:
        nonlocal looked
        looked += 1
        return group.requests

    everybody: Group[object] = Group()
    for name in range(1000):
        everybody.at([str(name)]).gain(1, 0)
    everybody.at(["0"]).gain(9_999, 0)
    for step in range(10_000):
        change = everybody.parts["0"].lose if step % 3 else everybody.parts["0"].gain
        change(1, 0)
        assert everybody.most(measure) is everybody.parts["0"]
    assert looked < 1000 + 10 * 10_000


@pytest.mark.parametrize(
    ("comers", "requests", "size_bytes"),
    [
        ([("a", "", ""), ("b", "", ""), ("c", "", "")], 4, 5),
        ([("a", "f", ""), ("a", "g", ""), ("b", "f", ""), ("b", "g", "")], 3, 4),
        ([("", "f", "l"), ("", "f", "m"), ("", "g", "l"), ("", "g", "m")], 3, 4),
        ([("a", "f", "l"), ("a", "f", "m"), ("a", "g", "l"), ("b", "f", "l"), ("b", "f", "m")], 3, 3),
    ],
)
async def test_requests_that_only_come_never_take_each_others_places_in_a_circle(
    comers: list[Whose], requests: int, size_bytes: int
) -> None:
    """All that can happen in a small band where nobody leaves: no way leads back to where it has been."""
    limits = Limits(requests=requests, bytes=size_bytes)
    queues = {label: LabelQueue(label, Room(0), FirstComeFirstServed) for _, _, label in comers}
    settled: asyncio.Future[WaitOutcome] = asyncio.get_running_loop().create_future()

    def after(state: tuple[Came, ...], came: Came) -> tuple[Came, ...]:
        """Who waits then, group by group; the same where it is refused."""
        bands = WaitingBands(limits)
        items = {Item(queues[whose[2]], 0, whose[:2], size, 0, 0, settled): (whose, size) for whose, size in state}
        for item in items:
            bands.add(item)
        try:
            victims = bands.victims(0, *came)
        except FullError:
            return state
        return tuple(
            sorted((*(one for item, one in items.items() if item not in victims), came), key=lambda one: one[0])
        )

    graph: dict[tuple[Came, ...], set[tuple[Came, ...]]] = {}
    ahead: list[tuple[Came, ...]] = [()]
    while ahead:
        state = ahead.pop()
        if state not in graph:
            ways = {after(state, (whose, size)) for whose in comers for size in range(size_bytes + 1)}
            graph[state] = ways - {state}
            ahead.extend(graph[state])
    assert len(graph) > 500
    TopologicalSorter(graph).prepare()
