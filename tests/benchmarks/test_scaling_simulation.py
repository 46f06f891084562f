"""A short simulated day holds what autoscaling promises; the parts of the simulation do as AWS documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.simulation.arrivals import Arrival, between
from benchmarks.simulation.clock import HOUR, MINUTE, Clock
from benchmarks.simulation.scaling import cases, service
from benchmarks.simulation.scaling.alarms import IN_POINTS, OUT_POINTS, Alarm, AutoScaling, Settings, Start
from benchmarks.simulation.scaling.cases import Case
from benchmarks.simulation.scaling.day import Outcome, simulate
from benchmarks.simulation.scaling.label_queue import LabelQueue
from benchmarks.simulation.scaling.plans import LabelPlan, hot_label, working_day
from benchmarks.simulation.scaling.service import START_SECONDS, Service
from benchmarks.simulation.scaling.task import State

#: From midnight over single messages at night to the morning's first burst, with a third of the load.
SHORT = Case("short", cases.per_desired_task, working_day(8, load=0.35), seconds=10 * HOUR)


@pytest.fixture(scope="module", params=list(Start), ids=lambda start: start.value)
def day(request: pytest.FixtureRequest) -> Outcome:
    return simulate(replace(SHORT, start=request.param))


def test_every_job_is_done(day: Outcome) -> None:
    assert day.posted == day.done == sum(map(len, day.waits.values())) > 1_000
    assert all(wait >= 0 for waits in day.waits.values() for wait in waits)


def test_no_more_tasks_than_lanes_can_use(day: Outcome) -> None:
    assert day.peak > 2
    assert day.beyond_lanes() == 0


def test_no_job_is_cut_off_by_a_scale_in(day: Outcome) -> None:
    assert any(change.after < change.before for change in day.changes)
    assert day.cut_off_by_scale_in == 0


def test_zero_is_reached_and_left(day: Outcome) -> None:
    assert sum(change.after == 0 for change in day.changes) >= 4
    assert len(day.wakes) >= 4
    # The minute until it is measured, its publication, a start, the load and the job.
    assert max(day.wakes) <= MINUTE + 10 + START_SECONDS[1] + 15


def test_a_seed_makes_a_day(day: Outcome) -> None:
    assert simulate(day.case) == day
    assert simulate(replace(day.case, seed=2)).changes != day.changes


@pytest.mark.parametrize("start", Start)
def test_one_lane_is_worth_one_task(start: Start) -> None:
    case = Case("hot", cases.per_desired_task, hot_label(), start=start, seconds=4 * HOUR)
    assert simulate(case).peak == 1
    assert simulate(replace(case, metric=cases.guessed)).peak == case.settings.most


@pytest.mark.parametrize("start", Start)
def test_a_constant_load_keeps_its_tasks(start: Start) -> None:
    """By the backlog alone a fleet that keeps up is given up, and asked for again."""
    steady = LabelPlan("steady", 2.0, 5.0, lanes=8, load=between(0, 6, 3.4))
    case = Case("steady", cases.per_desired_task, [steady], start=start, seconds=6 * HOUR, spot=False)
    ours, alone = simulate(case), simulate(replace(case, window_seconds=0.0))
    assert ours.reversals() <= 6
    assert alone.reversals() >= 2 * ours.reversals()
    assert min(minute.desired for minute in ours.minutes[60:]) >= 3
    assert min(minute.desired for minute in alone.minutes[60:]) == 1


def test_lost_spot_capacity_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SPOT_LOSSES_PER_HOUR", 2.0)
    steady = LabelPlan("steady", 2.0, 5.0, lanes=8, load=between(0, 6, 3.4))
    found = simulate(Case("spot", cases.per_desired_task, [steady], seconds=6 * HOUR))
    assert found.spot_losses > 5
    assert found.done == found.posted
    short = [minute for minute in found.minutes[60:] if minute.running < minute.desired]
    assert 0 < len(short) < 0.5 * len(found.minutes)


def test_arrivals_follow_their_plan() -> None:
    plan = LabelPlan("a", 2.0, 1.0, load=between(1, 2, 0.5), bulks=((3.0, 10),), lone=(4.0,))
    jobs = plan.arrivals(5 * HOUR, seed=1)
    assert [job.at for job in jobs] == sorted(job.at for job in jobs)
    assert sum(HOUR <= job.at < 2 * HOUR for job in jobs) == pytest.approx(900, rel=0.15)
    assert sum(job.at == 3 * HOUR for job in jobs) == 10
    assert jobs[-1].at == 4 * HOUR
    assert plan.arrivals(5 * HOUR, seed=1) == jobs != plan.arrivals(5 * HOUR, seed=2)


def test_a_lane_in_flight_gives_nothing_more() -> None:
    queue = LabelQueue(LabelPlan("a", 1.0, 1.0, lanes=2))
    for at in range(4):
        queue.post(Arrival(float(at), "a", 2.0))
    first, second = queue.receive(4.0), queue.receive(4.0)
    assert first is not None
    assert second is not None
    assert {first.lane, second.lane} == {0, 1}
    assert queue.receive(4.0) is None
    queue.give_back(first)
    again = queue.receive(10.0)
    assert again == first
    assert (queue.visible, queue.in_flight) == (2, 2)
    queue.finish(second, began=10.0)
    assert queue.waits == [9.0]
    # The second was computed from 10 to 12, the first has been in hand since 10.
    assert queue.busy(14.0, 10.0) == pytest.approx(0.6)
    queue.finish(again, began=10.0)
    assert queue.busy(100.0, 10.0) == 0


def test_an_alarm_takes_all_its_points() -> None:
    alarm = Alarm(3, lambda value: value > 60)
    assert [alarm.put(value) for value in (61, 61, 60, 61, 61, 61, 61)] == [False] * 5 + [True] * 2


def scaled(start: Start, running: int, **chosen: float) -> tuple[AutoScaling, Service]:
    """A service with so many running tasks."""
    clock = Clock()
    tasks = Service(clock, seed=1, spot=False)
    tasks.desired = running
    clock.run(200)
    assert len(tasks.running) == running
    return AutoScaling(tasks, Settings(**chosen), start), tasks  # type: ignore[arg-type]


def put(scaling: AutoScaling, values: list[float]) -> None:
    for minute, value in enumerate(values):
        scaling.minute(1_000 + 60.0 * minute, value, 0)


def test_target_tracking_multiplies_what_is_there() -> None:
    for start in Start:
        scaling, tasks = scaled(start, running=4)
        put(scaling, [90.0] * OUT_POINTS)
        assert tasks.desired == 6


def test_what_a_cooldown_added_is_not_added_again() -> None:
    scaling, tasks = scaled(Start.DESIRED, running=2, scale_out_cooldown=600)
    put(scaling, [120.0] * (OUT_POINTS + 5))
    assert tasks.desired == 4
    put(scaling, [200.0] * OUT_POINTS)
    assert tasks.desired == 7


def test_scale_in_waits_for_its_points_and_its_cooldown() -> None:
    scaling, tasks = scaled(Start.DESIRED, running=8, scale_in_cooldown=300)
    put(scaling, [30.0] * (IN_POINTS - 1))
    assert tasks.desired == 8
    put(scaling, [30.0])
    assert tasks.desired == 4
    put(scaling, [30.0] * 4)
    assert tasks.desired == 4


def test_scale_in_spares_what_is_protected() -> None:
    clock = Clock()
    tasks = Service(clock, seed=1, spot=False)
    tasks.desired = 2
    clock.run(200)
    busy, idle = tasks.running
    queue = LabelQueue(LabelPlan("a", 1.0, 1.0))
    busy.load(queue)
    queue.post(Arrival(200.0, "a", 100.0))
    clock.run(210)
    tasks.desired = 0
    clock.run(220)
    assert (busy.state, idle.state) == (State.RUNNING, State.STOPPED)
    clock.run(400)
    assert busy.state is State.STOPPED
    assert (queue.done, busy.cut_off, tasks.busy_stopped) == (1, 0, 0)
