"""A task: a consumer that holds some labels and computes their jobs, turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from inference_engine.consumer.metrics import Recent
from inference_engine.fleet.placement import HeldLabel
from inference_engine.fleet.view import ConsumerView, LabelStatistics

from ..clock import Clock
from .label_queue import Batch, LabelQueue

SLOTS = 4
#: From a task's first job to its protection: a call to ECS (`consumer/ecs_protection.py`).
PROTECTION_SECONDS = 0.5
#: How long a stopping consumer lets its jobs run on (`Settings.drain_seconds`).
DRAIN_SECONDS = 90.0


class State(Enum):
    """The state of a task."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(slots=True)
class LoadedLabel:
    """A label that a task holds and serves from `ready_at` on."""

    queue: LabelQueue
    ready_at: float
    last_used: float
    recent: Recent
    jobs: int = 0


@dataclass(slots=True, eq=False)
class Task:
    """One task; times in seconds of the clock. It computes one batch at a time and serves its labels in turn."""

    name: str
    clock: Clock
    spot: bool
    launched_at: float
    on_stopped: Callable[[Task], None]
    state: State = State.STARTING
    stopped_at: float | None = None
    held: dict[str, LoadedLabel] = field(default_factory=dict)
    batch: Batch | None = None
    busy_seconds: float = 0.0
    #: Jobs that were cut off and had to be computed again.
    cut_off: int = 0
    scaled_in: bool = False
    _busy_since: float | None = None
    _next: int = 0

    @property
    def live(self) -> bool:
        """Whether it takes jobs."""
        return self.state is State.RUNNING

    def protected(self) -> bool:
        """Whether ECS must not stop it for a scale-in."""
        return self._busy_since is not None and self.clock.now - self._busy_since >= PROTECTION_SECONDS

    def load(self, queue: LabelQueue) -> None:
        """Take a label into a slot."""
        now = self.clock.now
        ready_at = now + queue.plan.load_seconds
        self.held[queue.plan.name] = LoadedLabel(queue, ready_at, ready_at, Recent(lambda: self.clock.now))
        self.clock.after(queue.plan.load_seconds, self.work)

    def give_up(self, label: str) -> None:
        """Free a slot."""
        del self.held[label]

    def work(self) -> None:
        """Start the next batch, if none is in progress and one is available."""
        if not self.live or self.batch:
            return
        self.batch = self._receive()
        if self.batch is None:
            self._busy_since = None
            return
        if self._busy_since is None:
            self._busy_since = self.clock.now
        self.clock.after(self.batch.seconds, self._finisher(self.batch, self.clock.now))

    def drain(self, jobs_may_run_on: float = DRAIN_SECONDS) -> None:
        """SIGTERM: finish the current batch if there is time, then leave."""
        if self.state is State.STARTING:
            self._stop()
            return
        self.state = State.DRAINING
        self.held.clear()
        if self.batch is None:
            self._stop()
        else:
            self.clock.after(jobs_may_run_on, self._cut_off)

    def view(self) -> ConsumerView:
        """Its row in the registry."""
        now = self.clock.now
        ready = {name: one for name, one in self.held.items() if one.ready_at <= now}
        coldest = min((one.last_used for one in ready.values() if self._idle(one)), default=None)
        return ConsumerView(
            consumer_id=self.name,
            lease_until=now + 30,
            free_slots=SLOTS - len(self.held),
            coldest_at=coldest,
            loading=tuple(self.held.keys() - ready.keys()),
            loaded={name: self._statistics(one) for name, one in ready.items()},
            in_flight=len(self.batch.jobs) if self.batch else 0,
        )

    def labels(self) -> list[HeldLabel]:
        """Its labels as the rules of placement see them."""
        now = self.clock.now
        return [
            HeldLabel(
                name,
                one.ready_at <= now and self._idle(one),
                one.last_used,
                one.ready_at if one.ready_at <= now else 0.0,
                one.queue.plan.load_seconds,
            )
            for name, one in self.held.items()
        ]

    def _statistics(self, loaded: LoadedLabel) -> LabelStatistics:
        plan = loaded.queue.plan
        return LabelStatistics(
            load_seconds=plan.load_seconds,
            service_seconds=plan.job_seconds,
            task_seconds=plan.job_seconds,
            busy=loaded.recent.rate(),
            oldest_sent_at=self.batch.jobs[0].at if self.batch and self.batch.label is loaded.queue else None,
            jobs=loaded.jobs,
        )

    def _idle(self, loaded: LoadedLabel) -> bool:
        return not loaded.queue.visible and not (self.batch and self.batch.label is loaded.queue)

    def _receive(self) -> Batch | None:
        names = list(self.held)
        for step in range(len(names)):
            loaded = self.held[names[(self._next + step) % len(names)]]
            if loaded.ready_at > self.clock.now:
                continue
            batch = loaded.queue.receive(self.clock.now)
            if batch:
                self._next = (self._next + step + 1) % len(names)
                return batch
        return None

    def _finisher(self, batch: Batch, began: float) -> Callable[[], None]:
        def finish() -> None:
            if self.batch is not batch:
                return
            now = self.clock.now
            self.batch = None
            self.busy_seconds += now - began
            batch.label.finish(batch, began)
            loaded = self.held.get(batch.label.plan.name)
            if loaded:
                loaded.last_used = now
                loaded.recent.add(now - began)
                loaded.jobs += len(batch.jobs)
            if self.state is State.DRAINING:
                self._stop()
            else:
                self.work()

        return finish

    def _cut_off(self) -> None:
        if self.batch is None:
            return
        self.cut_off += len(self.batch.jobs)
        self.batch.label.give_back(self.batch)
        self.batch = None
        self._stop()

    def _stop(self) -> None:
        self.state = State.STOPPED
        self.stopped_at = self.clock.now
        self.held.clear()
        self.on_stopped(self)
