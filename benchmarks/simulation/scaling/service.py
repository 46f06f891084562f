"""An ECS service: as many tasks as desired, some on spot capacity.

Amazon ECS Developer Guide. "Protect your Amazon ECS tasks from being terminated by scale-in events": a scale-in does not stop
a protected task, but may stop any other. "Amazon ECS clusters for Fargate": a task on Fargate Spot gets SIGTERM
two minutes before it is stopped; the service then starts another.
"""

from __future__ import annotations

import random

from ..clock import Clock
from .task import State, Task

#: From the decision until a task takes jobs: capacity, image, Triton, joining the fleet.
START_SECONDS = (60.0, 120.0)
SPOT_SHARE = 0.7
#: Losses of a spot task per hour.
SPOT_LOSSES_PER_HOUR = 0.1
#: From SIGTERM to the end, for a task with an interruption notice.
SPOT_NOTICE_SECONDS = 120.0
#: How often ECS compares what runs with what is desired.
RECONCILE_SECONDS = 5.0


class Service:
    """Keeps the desired number of tasks; without `protection`, a day shows what protection is for."""

    def __init__(self, clock: Clock, seed: int, *, protection: bool = True, spot: bool = True) -> None:
        self.desired = 0
        self.tasks: list[Task] = []
        self.stopped: list[Task] = []
        self.spot_losses = 0
        #: Busy tasks that a scale-in stopped: they had only just started a job, or nothing protected them.
        self.busy_stopped = 0
        self._clock = clock
        self._random = random.Random(f"{seed} service")
        self._protection = protection
        self._spot = spot
        clock.every(RECONCILE_SECONDS, self.reconcile)

    @property
    def running(self) -> list[Task]:
        """Tasks that take jobs."""
        return [task for task in self.tasks if task.state is State.RUNNING]

    def reconcile(self) -> None:
        """Start or stop tasks to reach the desired count."""
        kept = [task for task in self.tasks if not task.scaled_in]
        for _ in range(self.desired - len(kept)):
            self._launch()
        if len(kept) > self.desired:
            self._scale_in(kept, len(kept) - self.desired)

    def _launch(self) -> None:
        name = f"task-{len(self.tasks) + len(self.stopped)}"
        spot = self._spot and self._random.random() < SPOT_SHARE
        task = Task(name, self._clock, spot, self._clock.now, self._gone)
        self.tasks.append(task)
        self._clock.after(self._random.uniform(*START_SECONDS), lambda: self._started(task))

    def _started(self, task: Task) -> None:
        if task.state is not State.STARTING:
            return
        task.state = State.RUNNING
        if task.spot:
            self._clock.after(self._random.expovariate(SPOT_LOSSES_PER_HOUR / 3600), lambda: self._lose(task))

    def _lose(self, task: Task) -> None:
        if task.live:
            self.spot_losses += 1
            task.drain(SPOT_NOTICE_SECONDS)

    def _scale_in(self, kept: list[Task], too_many: int) -> None:
        starting = [task for task in kept if task.state is State.STARTING]
        running = [task for task in kept if task.live and not (self._protection and task.protected())]
        self._random.shuffle(running)
        for task in (starting + running)[:too_many]:
            task.scaled_in = True
            self.busy_stopped += task.batch is not None
            task.drain()

    def _gone(self, task: Task) -> None:
        self.tasks.remove(task)
        self.stopped.append(task)
