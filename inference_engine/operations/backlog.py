"""How much work waits, and how many tasks it needs. Arithmetic without I/O.

The unit is the *second of a task*: what the jobs of a label cost one consumer, as consumers measured it. In-flight jobs count
like waiting ones. A label that no consumer has loaded also costs its load. A label counts for no more tasks than its lanes can
use: its other jobs wait for their message group, not for a task. A job counts for at most one task, however long it takes.

A fleet that keeps up has no backlog: scaled by the backlog alone, it would be stopped, and started again as soon as it is gone.
So the measure for scaling adds the work that arrives meanwhile: as much as recent jobs took.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..fleet.view import Fleet

#: A label with work counts as at least this much: waiting work must not round to nothing and let the fleet scale to zero.
LABEL_MIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LabelWork:
    """One label's queue and what is known about its jobs.

    `holders` is how many live consumers hold it, `loaded` whether one has it ready. `task_seconds` (a job's cost) and
    `load_seconds` are None where no consumer has measured them. `oldest_at` is the Unix time since which its oldest job waits,
    as far as known. `busy` is how many tasks its jobs recently kept busy: seconds of tasks per second.
    """

    label: str
    visible: int = 0
    in_flight: int = 0
    lanes: int = 1
    holders: int = 0
    loaded: bool = False
    task_seconds: float | None = None
    load_seconds: float | None = None
    oldest_at: float | None = None
    busy: float = 0.0

    @property
    def jobs(self) -> int:
        """Jobs that are not finished."""
        return self.visible + self.in_flight

    @property
    def usable(self) -> int:
        """How many tasks could work on its jobs at once."""
        return min(self.lanes, self.jobs)

    @property
    def unserved(self) -> bool:
        """Whether jobs wait and no live consumer holds the label."""
        return self.visible > 0 and not self.holders


@dataclass(frozen=True, slots=True)
class Tasks:
    """The fleet's size: live tasks, their slots, and the desired count of tasks (None where it is unknown)."""

    running: int
    slots: int
    desired: int | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """What is published each minute. Seconds are those of a task, except `oldest_job_age_seconds`, which is wall-clock time.

    Target tracking uses `backlog_seconds_per_desired_task`, which includes the work that arrives meanwhile.
    """

    backlog_seconds: float
    runnable_backlog_seconds: float
    backlog_seconds_per_task: float
    backlog_seconds_per_desired_task: float
    jobs_visible: int
    jobs_in_flight: int
    oldest_job_age_seconds: float
    active_labels: int
    unserved_labels: int
    failing_labels: int
    running_tasks: int
    slots: int
    wanted_tasks: int
    requires_consumer: int


def label_work(
    label: str,
    visible: int,
    in_flight: int,
    *,
    lanes: int,
    fleet: Fleet,
    waits_since: float | None,
    now: float,
) -> LabelWork:
    """One label's work, from its queue and what the consumers that hold it report."""
    holders = fleet.holders(label, now)
    told = [view.loaded[label] for view in holders if label in view.loaded]
    in_hand = [one.oldest_sent_at for one in told if one.oldest_sent_at is not None]
    return LabelWork(
        label=label,
        visible=visible,
        in_flight=in_flight,
        lanes=lanes,
        holders=len(holders),
        loaded=bool(told),
        task_seconds=_mean(one.task_seconds for one in told if one.task_seconds),
        load_seconds=_mean(one.load_seconds for one in told),
        # Waiting jobs are younger than those in flight. Where a consumer has the label loaded, it has received the jobs that
        # `waits_since` is about.
        oldest_at=min(in_hand) if in_hand else None if told else waits_since,
        busy=sum(one.busy for one in told),
    )


def tasks(fleet: Fleet, now: float, desired: int | None = None) -> Tasks:
    """The size of a fleet."""
    live = list(fleet.live(now))
    return Tasks(len(live), sum(view.slots for view in live), desired)


def measure(
    labels: Sequence[LabelWork], tasks: Tasks, *, target_seconds: float, failing_labels: int = 0, now: float
) -> Measures:
    """All measures of one moment. `target_seconds` is the backlog that one task should have.

    What no consumer has measured for a label is assumed to be the average of the labels where it is known.
    """
    active = [work for work in labels if work.jobs]
    seconds = label_seconds(labels)
    runnable = sum(min(cost, work.usable * target_seconds) for work, cost in zip(active, seconds, strict=True))
    demand = demand_seconds(labels, target_seconds)
    desired = tasks.running if tasks.desired is None else tasks.desired
    oldest = min((work.oldest_at for work in active if work.oldest_at is not None), default=now)
    return Measures(
        backlog_seconds=sum(seconds),
        runnable_backlog_seconds=runnable,
        backlog_seconds_per_task=runnable / max(1, tasks.running),
        backlog_seconds_per_desired_task=per_desired_task(demand, tasks, target_seconds),
        jobs_visible=sum(work.visible for work in active),
        jobs_in_flight=sum(work.in_flight for work in active),
        oldest_job_age_seconds=max(0.0, now - oldest),
        active_labels=len(active),
        unserved_labels=sum(work.unserved for work in active),
        failing_labels=failing_labels,
        running_tasks=tasks.running,
        slots=tasks.slots,
        wanted_tasks=wanted_tasks(demand, target_seconds),
        requires_consumer=int(bool(active) and not tasks.running and not desired),
    )


def label_seconds(labels: Sequence[LabelWork]) -> list[float]:
    """The cost of each label's work in seconds of a task, in the order of `labels`; labels without work are left out."""
    return [max(LABEL_MIN_SECONDS, work.jobs * job + load) for work, job, load in _costs(labels)]


def demand_seconds(labels: Sequence[LabelWork], target_seconds: float) -> float:
    """What must be done within the target: the backlog, and what arrives meanwhile; for each label what its lanes allow."""
    demand = sum(min(work.busy, work.lanes) * target_seconds for work in labels if not work.jobs)
    for work, job, load in _costs(labels):
        waiting = min(work.visible * job + load, max(1, work.visible) * target_seconds)
        # The jobs in flight are part of what keeps the tasks busy, and with long jobs all of it.
        in_hand = max(work.in_flight * min(job, target_seconds), work.busy * target_seconds)
        demand += min(max(LABEL_MIN_SECONDS, waiting + in_hand), work.lanes * target_seconds)
    return demand


def _costs(labels: Sequence[LabelWork]) -> Iterator[tuple[LabelWork, float, float]]:
    """For each label that has work: what a job costs, and what its load still costs."""
    usual = _mean(work.task_seconds for work in labels if work.task_seconds is not None) or 0.0
    usual_load = _mean(work.load_seconds for work in labels if work.load_seconds is not None) or 0.0
    for work in labels:
        if work.jobs:
            job = usual if work.task_seconds is None else work.task_seconds
            load = usual_load if work.load_seconds is None else work.load_seconds
            yield work, job, 0.0 if work.loaded else load


def per_desired_task(demand: float, tasks: Tasks, target_seconds: float) -> float:
    """The metric of target tracking, which multiplies the count of tasks by it and divides by the target.

    The demand is divided by the desired tasks, or tasks that still start would be requested again and again. Where more tasks
    run than are desired, it is divided by the running ones, since a busy task outlives a scale-in. While the first task starts,
    the value is at least the target: ECS calculates from the running count, which is zero, and any lower value would cancel the
    task that was requested.
    """
    desired = tasks.running if tasks.desired is None else tasks.desired
    each = demand / max(1, desired, tasks.running)
    return max(each, target_seconds) if demand and desired and not tasks.running else each


def wanted_tasks(demand: float, target_seconds: float) -> int:
    """How many tasks can do that much within the target; no more than lanes allow, since the demand includes no more."""
    # Sums of fractions may miss a whole number in their last digits.
    return math.ceil(demand / target_seconds - 1e-9)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
