"""The arithmetic of the backlog: what is published, and what the number of tasks follows."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.fleet.view import ConsumerView, Fleet, LabelStatistics
from inference_engine.operations.backlog import LabelWork, Measures, Tasks, label_work, measure, tasks

NOW = 1_000_000.0
TARGET = 60.0


def measured(labels: list[LabelWork], running: int = 1, desired: int | None = None) -> Measures:
    return measure(labels, Tasks(running, running * 4, desired), target_seconds=TARGET, now=NOW)


def work(label: str = "a", visible: int = 0, **known: object) -> LabelWork:
    known = {"holders": 1, "loaded": True, "task_seconds": 0.1, "load_seconds": 2.0} | known
    return LabelWork(label, visible, **known)  # type: ignore[arg-type]


seconds = st.floats(0, 100)
works = st.builds(
    LabelWork,
    label=st.text("abc", min_size=1, max_size=3),
    visible=st.integers(0, 10_000),
    in_flight=st.integers(0, 100),
    lanes=st.integers(1, 8),
    holders=st.integers(0, 8),
    loaded=st.booleans(),
    task_seconds=st.none() | seconds,
    load_seconds=st.none() | seconds,
    oldest_at=st.none() | st.floats(NOW - 1e5, NOW + 5),
    busy=st.floats(0, 10),
)
fleets = st.builds(Tasks, st.integers(0, 50), st.integers(0, 200), st.none() | st.integers(0, 50))


def test_nothing_to_do_publishes_zeros() -> None:
    values = dataclasses.asdict(measured([work(visible=0)], running=0))
    assert set(values.values()) == {0}


def test_one_message_without_a_consumer_requires_one() -> None:
    found = measured([LabelWork("a", visible=1)], running=0)
    assert (found.requires_consumer, found.unserved_labels, found.wanted_tasks) == (1, 1, 1)
    assert found.backlog_seconds_per_task > 0


def test_the_step_from_zero_is_taken_once() -> None:
    """A step that is repeated while its task starts would undo what target tracking has asked for meanwhile."""
    assert measured([LabelWork("a", visible=1)], running=0, desired=1).requires_consumer == 0


def test_jobs_in_flight_count() -> None:
    assert measured([work(visible=0, in_flight=50)]).backlog_seconds == pytest.approx(5)


def test_a_label_that_nobody_has_loaded_costs_its_load() -> None:
    assert measured([work(visible=10, loaded=False)]).backlog_seconds == pytest.approx(3)


def test_an_unknown_label_costs_what_its_neighbours_do() -> None:
    unknown = LabelWork("new", visible=100, holders=1)
    found = measured([work(visible=100, task_seconds=0.2, load_seconds=4.0), unknown])
    assert found.backlog_seconds == pytest.approx(20 + 20 + 4)


def test_one_lane_is_worth_one_task_whatever_waits() -> None:
    found = measured([work(visible=1_000_000)], desired=1)
    assert found.wanted_tasks == 1
    assert found.runnable_backlog_seconds == TARGET
    assert found.backlog_seconds == pytest.approx(100_000)


def test_lanes_allow_more_tasks() -> None:
    assert measured([work(visible=1_000_000, lanes=3)]).wanted_tasks == 3


def test_tasks_that_start_are_not_asked_for_again() -> None:
    """Target tracking multiplies what is desired by metric/target: it must come to the same whatever runs."""
    labels = [work(name, visible=600) for name in "abcdefghij"]
    for desired in (1, 3, 10, 20):
        found = measured(labels, running=1, desired=desired)
        assert math.ceil(desired * found.backlog_seconds_per_desired_task / TARGET) == found.wanted_tasks == 10


def test_a_fleet_that_keeps_up_is_not_given_up() -> None:
    """It has no backlog; what keeps it busy still comes."""
    found = measured([work(name, busy=0.9) for name in "abcde"], running=5, desired=5)
    assert (found.backlog_seconds, found.active_labels, found.requires_consumer) == (0, 0, 0)
    assert found.wanted_tasks == 5
    assert found.backlog_seconds_per_desired_task == pytest.approx(0.9 * TARGET)


def test_a_busy_label_counts_for_no_more_than_its_lanes() -> None:
    assert measured([work(visible=10_000, busy=1.0)]).wanted_tasks == 1
    assert measured([work(visible=0, busy=1.2)]).wanted_tasks == 1
    assert measured([work(visible=600, busy=0.5, lanes=4)]).wanted_tasks == 2


def test_a_long_job_is_worth_one_task() -> None:
    film: dict[str, Any] = {"task_seconds": 600.0, "lanes": 4}
    assert measured([work(visible=1, **film)]).wanted_tasks == 1
    assert measured([work(visible=0, in_flight=2, **film)]).wanted_tasks == 2
    assert measured([work(visible=0, in_flight=2, busy=1.9, **film)]).wanted_tasks == 2


def test_the_first_task_is_not_taken_back_while_it_starts() -> None:
    """Below nine tenths of the target, fifteen times, a fleet is scaled in: by ECS's sum, to a part of none."""
    small = [LabelWork("a", visible=1)]
    assert measured(small, running=0, desired=1).backlog_seconds_per_desired_task == TARGET
    assert measured(small, running=1, desired=1).backlog_seconds_per_desired_task == 1
    assert measured([], running=0, desired=1).backlog_seconds_per_desired_task == 0


def test_tasks_that_outlive_a_scale_in_count() -> None:
    found = measured([work(visible=1_200, lanes=3)], running=4, desired=1)
    assert found.backlog_seconds_per_desired_task == pytest.approx(30)


def test_the_oldest_job_is_the_oldest_anywhere() -> None:
    labels = [work("a", 1, oldest_at=NOW - 5), work("b", 1, oldest_at=NOW - 50), work("done", 0, oldest_at=NOW - 999)]
    assert measured(labels).oldest_job_age_seconds == 50


@given(st.lists(works, max_size=20), fleets)
def test_more_tasks_than_lanes_can_use_are_never_asked_for(labels: list[LabelWork], fleet: Tasks) -> None:
    found = measure(labels, fleet, target_seconds=TARGET, now=NOW)
    assert found.wanted_tasks <= sum(one.lanes for one in labels if one.jobs or one.busy)
    assert found.runnable_backlog_seconds <= found.backlog_seconds + 1e-6
    assert found.runnable_backlog_seconds <= TARGET * sum(one.lanes for one in labels if one.jobs) + 1e-6


@given(st.lists(works, max_size=20), fleets)
def test_everything_is_finite_and_never_negative(labels: list[LabelWork], fleet: Tasks) -> None:
    found = measure(labels, fleet, target_seconds=TARGET, now=NOW)
    assert all(math.isfinite(value) and value >= 0 for value in dataclasses.asdict(found).values())


@given(st.lists(works, max_size=20), fleets)
def test_work_is_never_measured_as_none(labels: list[LabelWork], fleet: Tasks) -> None:
    """A zero would let the fleet scale in to nothing while something waits."""
    found = measure(labels, fleet, target_seconds=TARGET, now=NOW)
    busy = any(one.jobs for one in labels)
    if busy:
        assert found.wanted_tasks > 0
        assert found.backlog_seconds_per_desired_task > 0
    assert found.requires_consumer == int(busy and fleet.running == 0 and not fleet.desired)


@given(st.lists(works, min_size=1, max_size=10), st.integers(1, 1000), fleets)
def test_more_jobs_never_mean_less_backlog(labels: list[LabelWork], more: int, fleet: Tasks) -> None:
    busier = [dataclasses.replace(labels[0], visible=labels[0].visible + more), *labels[1:]]
    before, after = (measure(these, fleet, target_seconds=TARGET, now=NOW) for these in (labels, busier))
    if labels[0].jobs:  # a label that gets its first job changes what is usual
        assert after.backlog_seconds >= before.backlog_seconds - 1e-6
        assert after.wanted_tasks >= before.wanted_tasks


@given(st.lists(works, max_size=10), fleets)
def test_idle_labels_change_nothing(labels: list[LabelWork], fleet: Tasks) -> None:
    idle = LabelWork("idle", lanes=7, holders=1, loaded=True, oldest_at=1.0)
    assert measure([*labels, idle], fleet, target_seconds=TARGET, now=NOW) == measure(
        labels, fleet, target_seconds=TARGET, now=NOW
    )


def view(name: str, lease: float = 30, **fields: Any) -> ConsumerView:
    return ConsumerView(consumer_id=name, lease_until=NOW + lease, **fields)


def test_a_label_is_known_by_the_consumers_that_hold_it() -> None:
    fast = LabelStatistics(task_seconds=0.1, load_seconds=2, jobs=5, oldest_sent_at=NOW - 7)
    slow = LabelStatistics(task_seconds=0.3, load_seconds=4, jobs=5)
    gone = LabelStatistics(task_seconds=99, load_seconds=99, jobs=5, oldest_sent_at=1.0)
    fleet = Fleet(
        (
            view("fast", loaded={"a": fast}, free_slots=3),
            view("slow", loaded={"a": slow}, loading=("b",)),
            view("gone", lease=-1, loaded={"a": gone}),
        )
    )
    found = label_work("a", 3, 2, lanes=2, fleet=fleet, waits_since=None, now=NOW)
    assert found == LabelWork("a", 3, 2, 2, holders=2, loaded=True, task_seconds=0.2, load_seconds=3, oldest_at=NOW - 7)
    loading = label_work("b", 1, 0, lanes=1, fleet=fleet, waits_since=NOW - 3, now=NOW)
    assert (loading.holders, loading.loaded, loading.task_seconds, loading.oldest_at) == (1, False, None, NOW - 3)
    # A consumer has loaded the requested label since: its jobs in flight tell more than the load request.
    assert label_work("a", 3, 2, lanes=2, fleet=fleet, waits_since=NOW - 999, now=NOW).oldest_at == NOW - 7
    idle = Fleet((view("slow", loaded={"a": slow}),))
    assert label_work("a", 1, 0, lanes=1, fleet=idle, waits_since=NOW - 999, now=NOW).oldest_at is None
    assert label_work("a", 1, 0, lanes=1, fleet=Fleet(), waits_since=NOW - 999, now=NOW).oldest_at == NOW - 999
    assert tasks(fleet, NOW) == Tasks(running=2, slots=6)


def test_a_label_that_was_loaded_and_has_done_nothing_yet_is_not_free() -> None:
    fleet = Fleet((view("one", loaded={"a": LabelStatistics(load_seconds=2)}),))
    assert label_work("a", 1, 0, lanes=1, fleet=fleet, waits_since=None, now=NOW).task_seconds is None
