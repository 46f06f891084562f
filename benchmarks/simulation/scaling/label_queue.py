"""The queue of a label: a lane is a message group, and SQS gives the messages of a group to one consumer at a time.

Amazon SQS Developer Guide, "FIFO queue delivery logic": while messages of a group are in flight, SQS returns no others of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..arrivals import Arrival
from ..aws.queues import RECEIVE_MAX
from .plans import LabelPlan

#: How much work of one label a task takes before it goes on to the next label: short batches are as good as sharing.
BATCH_SECONDS = 2.0


@dataclass(slots=True)
class Batch:
    """Jobs of one lane that a task has in hand."""

    label: LabelQueue
    lane: int
    jobs: list[Arrival]

    @property
    def seconds(self) -> float:
        """How long they take the task."""
        return sum(job.seconds for job in self.jobs)


@dataclass(slots=True, eq=False)
class LabelQueue:
    """The waiting and in-flight jobs of one label, and how long finished jobs waited to start (seconds).

    `on_work` is called when a receive may return something that it would not have returned before, `on_done` after each batch.
    """

    plan: LabelPlan
    lanes: list[deque[Arrival]] = field(init=False)
    free: set[int] = field(init=False)
    visible: int = 0
    in_flight: int = 0
    done: int = 0
    visible_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    on_work: Callable[[LabelQueue], None] | None = None
    on_done: Callable[[], None] | None = None
    _next: int = 0
    _began: dict[int, float] = field(default_factory=dict)
    _ended: deque[tuple[float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.lanes = [deque() for _ in range(self.plan.lanes)]
        self.free = set(range(self.plan.lanes))

    def post(self, job: Arrival) -> None:
        """Add a new job; lanes take turns."""
        self.lanes[self._next].append(job)
        self._next = (self._next + 1) % len(self.lanes)
        self.visible += 1
        self.visible_seconds += job.seconds
        self._tell()

    def receive(self, now: float) -> Batch | None:
        """The next jobs of a lane with none in flight; None if there are none."""
        for lane in sorted(self.free):
            waiting = self.lanes[lane]
            if not waiting:
                continue
            jobs = [waiting.popleft()]
            seconds = jobs[0].seconds
            while waiting and len(jobs) < RECEIVE_MAX and seconds + waiting[0].seconds <= BATCH_SECONDS:
                jobs.append(waiting.popleft())
                seconds += jobs[-1].seconds
            self.free.remove(lane)
            self.visible -= len(jobs)
            self.visible_seconds -= seconds
            self.in_flight += len(jobs)
            self._began[lane] = now
            return Batch(self, lane, jobs)
        return None

    def finish(self, batch: Batch, began: float) -> None:
        """Mark the jobs of a batch as done, one after the other; `began` is when their task started the batch."""
        self._ended.append((began, began + batch.seconds))
        for job in batch.jobs:
            self.waits.append(began - job.at)
            began += job.seconds
        self.done += len(batch.jobs)
        self._release(batch)
        if self.on_done:
            self.on_done()

    def busy(self, now: float, window: float) -> float:
        """How many tasks its jobs kept busy on average over the last `window` seconds."""
        begin = now - window
        while self._ended and self._ended[0][1] < begin:
            self._ended.popleft()
        done = sum(end - max(began, begin) for began, end in self._ended)
        return (done + sum(now - max(began, begin) for began in self._began.values())) / window

    def give_back(self, batch: Batch) -> None:
        """Return a batch's jobs to the front of their lane, to be computed again."""
        self.lanes[batch.lane].extendleft(reversed(batch.jobs))
        self.visible += len(batch.jobs)
        self.visible_seconds += batch.seconds
        self._release(batch)

    def oldest_at(self) -> float | None:
        """When the oldest waiting job was posted."""
        return min((lane[0].at for lane in self.lanes if lane), default=None)

    def _release(self, batch: Batch) -> None:
        self.in_flight -= len(batch.jobs)
        self.free.add(batch.lane)
        del self._began[batch.lane]
        if self.visible:
            self._tell()

    def _tell(self) -> None:
        if self.on_work:
            self.on_work(self)
