"""How much work waits, and how many tasks it is worth. Arithmetic without I/O.

The unit is the *second of a task*: what the jobs of a label cost one consumer, as consumers measured it. In-flight jobs count
like waiting ones, a label that nobody has loaded costs its load besides, and a label counts for no more tasks than its lanes
can use: its further jobs wait for their message group, not for a task. Nor does a job count for more than one task, however long
it is.

A fleet that keeps up has no backlog: scaled by that alone it would be given up, and asked for again as soon as it is gone. So
what is scaled by counts, beside the backlog, the work that comes meanwhile: as much as the jobs of late took.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from .fleet import Fleet

#: A label with work counts as at least so much: nothing that waits may round to nothing, and let the fleet fall to zero.
LABEL_MIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LabelWork:
    """One label's queue and what is known of its jobs.

    `hosts` are live consumers that hold it, `loaded` whether one has it ready; `task_seconds` (a job's cost) and `load_seconds`
    are None where nobody has measured them; `oldest_at` is the Unix time since which its oldest job waits, as far as known.
    `busy` is how many tasks its jobs kept busy of late: seconds of tasks per second.
    """

    label: str
    visible: int = 0
    in_flight: int = 0
    lanes: int = 1
    hosts: int = 0
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
        """Whether jobs wait and nobody will take them."""
        return self.visible > 0 and not self.hosts


@dataclass(frozen=True, slots=True)
class Tasks:
    """The fleet's size: tasks that live, their slots, and tasks that are asked for (None where nobody knows)."""

    running: int
    slots: int
    desired: int | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """What is published each minute. Seconds of a task, but for `oldest_job_age_seconds`, which are seconds of the clock.

    Target tracking goes by `backlog_seconds_per_desired_task`, which has the work in it that comes meanwhile.
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
    """One label's work by its queue and by what the consumers that hold it tell."""
    hosts = fleet.hosts(label, now)
    told = [view.loaded[label] for view in hosts if label in view.loaded]
    in_hand = [one.oldest_sent_at for one in told if one.oldest_sent_at is not None]
    return LabelWork(
        label=label,
        visible=visible,
        in_flight=in_flight,
        lanes=lanes,
        hosts=len(hosts),
        loaded=bool(told),
        task_seconds=_mean(one.task_seconds for one in told if one.task_seconds),
        load_seconds=_mean(one.load_seconds for one in told),
        # What waits is younger than what is in hand; and what was rung for has come into the hands of who has it loaded.
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
    """All measures of one moment. `target_seconds` is the backlog that one task is to have.

    What nobody has measured of a label is taken to be what all that are known have on average.
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
    """What the work of each label that has some costs, in their order."""
    return [max(LABEL_MIN_SECONDS, work.jobs * job + load) for work, job, load in _costs(labels)]


def demand_seconds(labels: Sequence[LabelWork], target_seconds: float) -> float:
    """What is to be done within the target: the backlog, and what comes meanwhile; of each label what its lanes allow."""
    demand = sum(min(work.busy, work.lanes) * target_seconds for work in labels if not work.jobs)
    for work, job, load in _costs(labels):
        waiting = min(work.visible * job + load, max(1, work.visible) * target_seconds)
        # What is in flight is a part of what keeps the tasks busy, and with long jobs all of it.
        in_hand = max(work.in_flight * min(job, target_seconds), work.busy * target_seconds)
        demand += min(max(LABEL_MIN_SECONDS, waiting + in_hand), work.lanes * target_seconds)
    return demand


def _costs(labels: Sequence[LabelWork]) -> Iterator[tuple[LabelWork, float, float]]:
    """Of each label that has work what a job costs, and what it still costs to load."""
    usual = _mean(work.task_seconds for work in labels if work.task_seconds is not None) or 0.0
    usual_load = _mean(work.load_seconds for work in labels if work.load_seconds is not None) or 0.0
    for work in labels:
        if work.jobs:
            job = usual if work.task_seconds is None else work.task_seconds
            load = usual_load if work.load_seconds is None else work.load_seconds
            yield work, job, 0.0 if work.loaded else load


def per_desired_task(demand: float, tasks: Tasks, target_seconds: float) -> float:
    """What target tracking is given: it multiplies the count of tasks by this, divided by the target.

    By desired tasks: those that start would be asked for again and again. By running ones where more run than are desired, since
    a busy task outlives a scale-in. While the first task starts, the target itself: ECS starts its sum from the running count,
    and whatever is below the target times none would take the task back that has been asked for.
    """
    desired = tasks.running if tasks.desired is None else tasks.desired
    each = demand / max(1, desired, tasks.running)
    return max(each, target_seconds) if demand and desired and not tasks.running else each


def wanted_tasks(demand: float, target_seconds: float) -> int:
    """As many tasks as do that much within the target; no more than lanes allow, as the demand has no more in it."""
    # Sums of fractions miss a whole number by their last digits.
    return math.ceil(demand / target_seconds - 1e-9)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
