"""A day of a deployment: jobs arrive, a fleet computes them, and each minute its work is measured and the fleet scaled."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from inference_engine.fleet.view import Fleet
from inference_engine.operations.backlog import LabelWork, Measures, Tasks, label_work, measure, tasks

from ..arrivals import Arrival
from ..clock import MINUTE, Clock
from .alarms import AutoScaling, Change
from .cases import Case
from .holders import Holders
from .label_queue import LabelQueue
from .plans import work_seconds
from .service import Service
from .task import Task

#: How long after the full minute the metric is published and its alarms act.
PUBLISH_SECONDS = 10.0
#: How far the oracle sees: it starts tasks just in time.
ORACLE_SEES_SECONDS = 180.0
ORACLE_ACTS_SECONDS = 10.0
#: Jobs left at midnight are done within this time, or never.
REST_SECONDS = 2 * 3600.0
#: Tasks asked for again this soon were given up too early: the alarm had watched for as long.
REGRET_SECONDS = 900.0


@dataclass(slots=True)
class Minute:
    """What was measured in one minute."""

    at: float
    desired: int
    running: int
    protected: int
    backlog_seconds: float
    runnable_seconds: float
    usable: int


@dataclass(slots=True)
class Outcome:
    """The outcome of a day; times in seconds."""

    case: Case
    minutes: list[Minute]
    changes: list[Change]
    waits: dict[str, list[float]]
    posted: int
    done: int
    work_seconds: float
    task_seconds: float
    spot_losses: int
    #: Jobs cut off by a scale-in, and by a loss of spot capacity.
    cut_off_by_scale_in: int
    cut_off_by_loss: int
    busy_stopped: int
    wakes: list[float]

    @property
    def task_hours(self) -> float:
        """The task-hours that are paid for."""
        return self.task_seconds / 3600

    @property
    def peak(self) -> int:
        """The largest desired count."""
        return max((change.after for change in self.changes), default=0)

    @property
    def started(self) -> int:
        """Tasks that scaling asked for, in total."""
        return sum(max(0, change.after - change.before) for change in self.changes)

    @property
    def hours_awake(self) -> float:
        """Hours with a desired task."""
        return sum(minute.desired > 0 for minute in self.minutes) / 60

    @property
    def reversals_per_hour(self) -> float:
        """Reversals per hour with a desired task."""
        return self.reversals() / self.hours_awake

    def reversals(self) -> int:
        """How often the desired count turned from growing to shrinking or back, except to wake up and to fall asleep."""
        directions = [change.after > change.before for change in self.changes if change.before and change.after]
        return sum(before != after for before, after in pairwise(directions))

    def regretted(self) -> int:
        """Tasks given up and asked for again within a quarter of an hour."""
        count = 0
        for index, change in enumerate(self.changes):
            later = [next_.after for next_ in self.changes[index + 1 :] if next_.at <= change.at + REGRET_SECONDS]
            if change.after < change.before and later:
                count += max(0, min(change.before, max(later)) - change.after)
        return count

    def wait(self, share: float, *, without: Sequence[str] = ()) -> float:
        """The wait that `share` of the jobs did not exceed."""
        all_waits = sorted(wait for label, waits in self.waits.items() if label not in without for wait in waits)
        return all_waits[min(len(all_waits) - 1, math.ceil(share * len(all_waits)) - 1)]

    def beyond_lanes(self) -> int:
        """How often more tasks were asked for than the lanes of labels with work could use."""
        usable = {minute.at: minute.usable for minute in self.minutes}
        return sum(change.after > change.before and change.after > usable[change.at] for change in self.changes)


class Simulation:
    """All parts of one day, wired together."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = Clock()
        self.days = {plan.name: plan.arrivals(case.seconds, case.seed) for plan in case.plans}
        self.queues = {plan.name: LabelQueue(plan) for plan in case.plans}
        self.service = Service(self.clock, case.seed, protection=case.protection, spot=case.spot)
        self.holders = Holders(self.clock, self.service, self.queues, offloading=case.offload)
        self.scaling = AutoScaling(self.service, case.settings, case.start)
        self.minutes: list[Minute] = []
        self.wakes: list[float] = []
        self._asleep_since_post: float | None = None
        for queue in self.queues.values():
            queue.on_done = self._done
        for name, day in self.days.items():
            self._post(self.queues[name], iter(day))
        self.clock.every(MINUTE, self._publish)
        if case.metric is None:
            self._oracle = Oracle(self)
            self.clock.every(ORACLE_ACTS_SECONDS, self._oracle.act)

    def run(self) -> Outcome:
        """Run the day, and then what is left of its jobs."""
        self.clock.run(self.case.seconds)
        while self._unfinished() and self.clock.now < self.case.seconds + REST_SECONDS:
            self.clock.run(self.clock.now + MINUTE)
        return self._outcome()

    def measures(self) -> Measures:
        """What the backlog Lambda would publish now."""
        now = self.clock.now
        fleet = Fleet(tuple(task.view() for task in self.service.running), now)
        labels = [self._label_work(queue, fleet) for queue in self.queues.values()]
        count: Tasks = tasks(fleet, now, self.service.desired)
        return measure(labels, count, target_seconds=self.case.settings.target, now=now)

    def _label_work(self, queue: LabelQueue, fleet: Fleet) -> LabelWork:
        window = self.case.window_seconds
        work = label_work(
            queue.plan.name,
            queue.visible,
            queue.in_flight,
            lanes=queue.plan.lanes,
            fleet=fleet,
            waits_since=queue.oldest_at(),
            now=self.clock.now,
        )
        return replace(work, busy=queue.busy(self.clock.now, window) if window else 0.0)

    def _post(self, queue: LabelQueue, rest: Iterator[Arrival]) -> None:
        job = next(rest, None)
        if job is None:
            return

        def post() -> None:
            if self._asleep_since_post is None and not self.service.tasks:
                self._asleep_since_post = self.clock.now
            queue.post(job)
            self._post(queue, rest)

        self.clock.at(job.at, post)

    def _done(self) -> None:
        if self._asleep_since_post is not None:
            self.wakes.append(self.clock.now - self._asleep_since_post)
            self._asleep_since_post = None

    def _publish(self) -> None:
        now = self.clock.now
        found = self.measures()
        usable = sum(queue.plan.lanes for queue in self.queues.values() if self._has_work(queue))
        running = self.service.running
        protected = sum(task.protected() for task in running)
        self.minutes.append(
            Minute(
                now + PUBLISH_SECONDS,
                self.service.desired,
                len(running),
                protected,
                found.backlog_seconds,
                found.runnable_backlog_seconds,
                usable,
            )
        )
        metric = self.case.metric
        if metric is not None:
            value = metric(found, self.service.desired)
            self.clock.after(
                PUBLISH_SECONDS, lambda: self.scaling.minute(self.clock.now, value, found.requires_consumer)
            )

    def _has_work(self, queue: LabelQueue) -> bool:
        """Whether the label has work now or had some recently."""
        window = max(MINUTE, self.case.window_seconds)
        return bool(queue.visible or queue.in_flight or queue.busy(self.clock.now, window))

    def _unfinished(self) -> bool:
        return any(queue.visible or queue.in_flight for queue in self.queues.values())

    def _outcome(self) -> Outcome:
        now = self.clock.now
        every: list[Task] = [*self.service.tasks, *self.service.stopped]
        return Outcome(
            case=self.case,
            minutes=self.minutes,
            changes=self.scaling.changes,
            waits={name: queue.waits for name, queue in self.queues.items()},
            posted=sum(len(day) for day in self.days.values()),
            done=sum(queue.done for queue in self.queues.values()),
            work_seconds=work_seconds([*self.days.values()]),
            task_seconds=sum((task.stopped_at or now) - task.launched_at for task in every),
            spot_losses=self.service.spot_losses,
            cut_off_by_scale_in=sum(task.cut_off for task in every if task.scaled_in),
            cut_off_by_loss=sum(task.cut_off for task in every if not task.scaled_in),
            busy_stopped=self.service.busy_stopped,
            wakes=self.wakes,
        )


class Oracle:
    """Knows all jobs of the next minutes and their cost: starts tasks just in time, stops them when there is nothing to do.

    A reference for how few task-hours a day needs, not a way to scale.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._times = {name: [job.at for job in day] for name, day in simulation.days.items()}
        self._sums = {name: [0.0, *accumulate(job.seconds for job in day)] for name, day in simulation.days.items()}

    def act(self) -> None:
        """Set the desired count to what the next minutes need."""
        now = self._simulation.clock.now
        loads = (self._load(queue, now) for queue in self._simulation.queues.values())
        service = self._simulation.service
        wanted = min(self._simulation.case.settings.most, math.ceil(sum(loads) - 1e-9))
        if wanted != service.desired:
            self._simulation.scaling.changes.append(Change(now, service.desired, wanted))
            service.desired = wanted

    def _load(self, queue: LabelQueue, now: float) -> float:
        """How many tasks a label's work needs."""
        times, sums = self._times[queue.plan.name], self._sums[queue.plan.name]
        coming = sums[bisect_left(times, now + ORACLE_SEES_SECONDS)] - sums[bisect_left(times, now)]
        in_hand = queue.in_flight * queue.plan.job_seconds
        return min(queue.plan.lanes, (queue.visible_seconds + in_hand + coming) / ORACLE_SEES_SECONDS)


def simulate(case: Case) -> Outcome:
    """One day."""
    return Simulation(case).run()
