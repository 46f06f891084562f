"""The placement rules: examples for each, and invariants for all views."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from inference_engine.fleet.placement import (
    EVICTING_POLLERS,
    ConsumerCapacity,
    HeldLabel,
    coldest_at,
    min_request_age_seconds,
    offload,
    order,
    others_rest,
    rank,
    turn_over,
    victims,
    waits_for_requests,
    wanted_holders,
)
from inference_engine.fleet.view import ConsumerView, Fleet, LabelStatistics

NOW = 1000.0


def consumer(
    name: str, *, free: int = 0, coldest: float | None = None, lease: float = NOW + 10, **more: object
) -> ConsumerView:
    return ConsumerView(consumer_id=name, lease_until=lease, free_slots=free, coldest_at=coldest, **more)


def held(
    label: str, *, idle: bool = True, used: float = 0.0, loaded: float = 0.0, load: float = 0.0, size: int = 0
) -> HeldLabel:
    return HeldLabel(label, idle, used, loaded, load, size)


views = st.builds(
    consumer,
    st.text("abcdef", min_size=1, max_size=4),
    free=st.integers(0, 4),
    coldest=st.none() | st.floats(0, NOW),
    lease=st.floats(NOW - 10, NOW + 10),
    draining=st.booleans(),
    loading=st.sampled_from([(), ("l",)]),
)
fleets = st.lists(views, max_size=12, unique_by=lambda view: view.consumer_id).map(lambda rows: Fleet(tuple(rows), NOW))
holdings = st.lists(
    st.builds(
        held,
        st.text("abcdef", min_size=1, max_size=4),
        idle=st.booleans(),
        used=st.floats(0, NOW),
        size=st.integers(0, 100),
    ),
    max_size=8,
    unique_by=lambda label: label.label,
)


def test_free_slots_come_before_evictions_and_the_coldest_before_the_warmer() -> None:
    fleet = Fleet(
        (consumer("warm", coldest=900), consumer("cold", coldest=100), consumer("free", free=1), consumer("full"))
    )
    assert [view.consumer_id for view in order(fleet, NOW)] == ["free", "cold", "warm"]
    assert rank(fleet, "full", NOW) is None


@given(fleets)
def test_ranks_are_a_numbering_of_the_live_consumers_that_can_take_a_label(fleet: Fleet) -> None:
    ranks = {view.consumer_id: rank(fleet, view.consumer_id, NOW) for view in fleet.consumers}
    able = [view.consumer_id for view in fleet.live(NOW) if view.free_slots or view.coldest_at is not None]
    assert sorted(place for place in ranks.values() if place is not None) == list(range(len(able)))
    assert {name for name, place in ranks.items() if place is not None} == set(able)


@given(fleets, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_rows(fleet: Fleet, random: object) -> None:
    rows = list(fleet.consumers)
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert order(Fleet(tuple(rows), NOW), NOW) == order(fleet, NOW)


@given(fleets)
def test_somebody_is_always_ready_to_take_a_request_at_once_if_anyone_can(fleet: Fleet) -> None:
    def min_age(view: ConsumerView) -> float:
        return min_request_age_seconds(fleet, view.consumer_id, NOW, interval_seconds=1, idle_seconds=10)

    able = order(fleet, NOW)
    assert not able or min(min_age(view) for view in able) == 0
    for view in fleet.consumers:
        if view not in able:
            assert min_age(view) == math.inf
        elif not view.free_slots and able[0].free_slots:
            assert min_age(view) >= 10


@given(holdings, st.integers(1, 6), st.none() | st.integers(1, 300), st.integers(0, 100))
def test_victims_are_the_coldest_idle_labels_and_no_more_than_needed(
    labels: list[HeldLabel], slots: int, memory: int | None, size: int
) -> None:
    capacity = ConsumerCapacity(slots, memory)
    chosen = victims(labels, capacity, size)
    idle = sorted((label for label in labels if label.idle), key=lambda label: (label.last_used, label.label))
    if chosen is None:
        assert not capacity.fits([label for label in labels if not label.idle], size)
        return
    assert chosen == [label.label for label in idle[: len(chosen)]]
    assert capacity.fits([label for label in labels if label.label not in chosen], size)
    if chosen:
        assert not capacity.fits([label for label in labels if label.label not in chosen[:-1]], size)


def test_a_memory_budget_counts_measured_bytes() -> None:
    capacity = ConsumerCapacity(memory_bytes=100)
    two = [held("a", size=40, used=1), held("b", size=40, used=2)]
    assert capacity.free_slots([]) == 1
    assert capacity.free_slots(two) == 0
    assert victims(two, capacity, 50) == ["a"]
    assert victims([held("a", size=40, idle=False)], capacity, 70) is None
    assert victims([], capacity, 500) == []


def test_a_label_that_is_loading_is_not_given_up() -> None:
    assert turn_over([held("loading", idle=False, loaded=0.0)], NOW, 30) is None


def test_a_busy_label_keeps_its_slot_for_its_turn() -> None:
    busy = [held("short", idle=False, loaded=NOW - 20, load=1), held("dear", idle=False, loaded=NOW - 90, load=10)]
    assert turn_over(busy, NOW, turn_min_seconds=30) is None
    assert turn_over(busy, NOW + 15, turn_min_seconds=30) == "dear"
    assert turn_over(busy, NOW + 9, turn_min_seconds=20) == "short"
    assert turn_over([held("idle", loaded=0)], NOW, 1) is None


def test_coldest_at_is_of_idle_labels_only() -> None:
    assert coldest_at([held("a", used=5, idle=False), held("b", used=7)]) == 7
    assert coldest_at([held("a", idle=False)]) is None


def test_holders_are_wanted_by_backlog_seconds_within_lanes() -> None:
    case = {"service_seconds": 0.1, "load_seconds": 2.0, "target_seconds": 10.0}
    assert wanted_holders(backlog=200, holders=1, lanes=2, **case) == 2
    assert wanted_holders(backlog=1000, holders=1, lanes=8, **case) == 8, "all that are wanted are asked for at once"
    assert wanted_holders(backlog=200, holders=2, lanes=2, **case) == 2
    assert wanted_holders(backlog=90, holders=1, lanes=4, **case) == 1
    assert wanted_holders(backlog=200, holders=1, lanes=4, **{**case, "load_seconds": 30.0}) == 1
    assert wanted_holders(backlog=0, holders=3, lanes=4, **case) == 3


def test_holders_are_live_consumers_that_hold_or_load_the_label() -> None:
    statistics = {"m": LabelStatistics()}
    fleet = Fleet(
        (
            consumer("holds", loaded=statistics),
            consumer("loads", loading=("m",)),
            consumer("dead", loaded=statistics, lease=NOW - 1),
            consumer("leaves", loaded=statistics, draining=True),
        )
    )
    assert [view.consumer_id for view in fleet.holders("m", NOW)] == ["holds", "loads"]


@given(fleets)
def test_who_waits_for_requests(fleet: Fleet) -> None:
    waiting = [view for view in fleet.consumers if waits_for_requests(fleet, view.consumer_id, NOW)]
    able = order(fleet, NOW)
    assert bool(waiting) == bool(able), "somebody does if anybody can"
    assert all(view in waiting for view in able if view.free_slots)
    loading = sum(bool(view.loading) for view in fleet.live(NOW))
    assert len([view for view in waiting if not view.free_slots]) <= EVICTING_POLLERS + loading


def test_more_consumers_take_requests_while_others_load() -> None:
    rows = [consumer(f"c{number}", coldest=float(number)) for number in range(9)]
    idle = Fleet(tuple(rows), NOW)
    busy = Fleet((*(row.model_copy(update={"loading": ("l",)}) for row in rows[:3]), *rows[3:]), NOW)

    def waiting(fleet: Fleet) -> list[str]:
        return [row.consumer_id for row in rows if waits_for_requests(fleet, row.consumer_id, NOW)]

    assert waiting(idle) == ["c0", "c1", "c2"]
    assert waiting(busy) == ["c0", "c1", "c2", "c3", "c4", "c5"]
    assert min_request_age_seconds(idle, "c4", NOW, interval_seconds=1, idle_seconds=10) == 4
    assert min_request_age_seconds(busy, "c4", NOW, interval_seconds=1, idle_seconds=10) == 1


def busy(label: str, *, loaded: float = 1.0, load: float = 0.0) -> HeldLabel:
    return held(label, idle=False, loaded=loaded, load=load)


def given_away(labels: list[HeldLabel], waiting: dict[str, float]) -> str | None:
    return offload(labels, waiting, NOW, turn_min_seconds=30, overloaded_seconds=60)


def test_the_label_with_most_work_goes_to_who_rests() -> None:
    assert given_away([busy("a"), busy("b"), busy("c")], {"a": 20, "b": 50, "c": 5}) == "b"


def test_a_label_alone_with_its_work_stays() -> None:
    assert given_away([busy("a"), held("b", loaded=1.0)], {"a": 500, "b": 0}) is None


def test_a_consumer_that_keeps_up_gives_nothing_away() -> None:
    assert given_away([busy("a"), busy("b")], {"a": 30, "b": 30}) is None


def test_a_label_that_has_not_had_its_turn_stays() -> None:
    assert given_away([busy("a"), busy("b", load=100)], {"a": 50, "b": 500}) is None


@given(holdings, st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.floats(0, 1e4)))
def test_only_a_busy_label_with_work_is_ever_given_away(labels: list[HeldLabel], waiting: dict[str, float]) -> None:
    known = {label.label: waiting.get(label.label, 0.0) for label in labels}
    chosen = given_away(labels, known)
    if chosen is not None:
        assert not next(label.idle for label in labels if label.label == chosen)
        assert known[chosen] == max(known[label.label] for label in labels if not label.idle and label.loaded_at)
        assert sum(known.values()) > 60


def test_who_rests_has_nothing_to_do_and_room() -> None:
    me = consumer("me", free=1)
    of_late = {"a": LabelStatistics(busy=0.5)}
    nobody = [
        consumer("b", free=0),
        consumer("b", free=1, in_flight=1),
        consumer("b", free=1, loading=("a",)),
        consumer("b", free=1, loaded=of_late),
        consumer("b", free=1, lease=NOW - 1),
        consumer("b", free=1, draining=True),
    ]
    assert not any(others_rest(Fleet((me, other), NOW), "me", NOW) for other in nobody)
    assert others_rest(Fleet((me, consumer("b", free=1)), NOW), "me", NOW)
    assert others_rest(Fleet((me, consumer("b", coldest=1.0)), NOW), "me", NOW)
