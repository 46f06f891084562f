"""Which task loads which label: the library's own rules (`inference_engine.fleet.placement`) over the simulated fleet."""

from __future__ import annotations

from inference_engine.consumer import rebalancing
from inference_engine.fleet import placement
from inference_engine.fleet.view import Fleet
from inference_engine.settings import Settings

from ..clock import Clock
from .label_queue import LabelQueue
from .service import Service
from .task import SLOTS, LoadedLabel, Task

PLACE_SECONDS = 1.0
#: How old a load request must be before a busy label makes room for it.
REQUEST_AGE_SECONDS = 3.0
_TURN_MIN_SECONDS: float = Settings.model_fields["turn_min_seconds"].default


class Holders:
    """Finds holders for labels that have work but no holder, or work for more holders."""

    def __init__(
        self, clock: Clock, service: Service, queues: dict[str, LabelQueue], *, offloading: bool = True
    ) -> None:
        self._clock = clock
        self._service = service
        self._queues = queues
        self._requested_at: dict[str, float] = {}
        self._left: dict[str, tuple[Task, float]] = {}
        for queue in queues.values():
            queue.on_work = self._compute
        clock.every(PLACE_SECONDS, self._place)
        clock.every(rebalancing.SCALE_OUT_SECONDS, self._place_more)
        if offloading:
            clock.every(rebalancing.OFFLOAD_SECONDS, self._offload)

    def of(self, label: str) -> list[Task]:
        """Tasks that hold the label."""
        return [task for task in self._service.running if label in task.held]

    def _compute(self, queue: LabelQueue) -> None:
        for task in self._service.tasks:
            if task.batch is None and queue.plan.name in task.held:
                task.work()

    def _place(self) -> None:
        running = self._service.running
        if not running:
            return
        held = {label for task in running for label in task.held}
        if not self._requested_at and all(label in held for label, queue in self._queues.items() if queue.visible):
            return
        for label, queue in self._queues.items():
            if queue.visible and label not in held:
                self._requested_at.setdefault(label, self._clock.now)
            else:
                self._requested_at.pop(label, None)
        for label in sorted(self._requested_at, key=self._requested_at.__getitem__):
            self._load(self._queues[label], may_take_turns=self._waited(label))

    def _waited(self, label: str) -> bool:
        return self._clock.now - self._requested_at[label] >= REQUEST_AGE_SECONDS

    def _place_more(self) -> None:
        for label, queue in self._queues.items():
            if queue.plan.lanes == 1 or not queue.visible:
                continue
            holders = self.of(label)
            if not holders or len(holders) >= queue.plan.lanes:
                continue
            wanted = placement.wanted_holders(
                backlog=queue.visible,
                service_seconds=queue.plan.job_seconds,
                load_seconds=queue.plan.load_seconds,
                holders=len(holders),
                lanes=queue.plan.lanes,
                target_seconds=rebalancing.TARGET_SECONDS,
            )
            if wanted > len(holders):
                self._load(queue, may_take_turns=False)

    def _load(self, queue: LabelQueue, *, may_take_turns: bool) -> None:
        task = self._room(queue.plan.name) or (self._turn_over(queue.plan.name) if may_take_turns else None)
        if task:
            task.load(queue)
            self._requested_at.pop(queue.plan.name, None)

    def _room(self, label: str) -> Task | None:
        """The best placed task with a free slot, or with an idle label to evict, that does not hold the label yet."""
        left, at = self._left.get(label, (None, 0.0))
        giver = left if self._clock.now - at < rebalancing.LEFT_SECONDS else None
        able = {task.name: task for task in self._service.running if label not in task.held and task is not giver}
        fleet = Fleet(tuple(task.view() for task in able.values()), self._clock.now)
        for view in placement.order(fleet, self._clock.now):
            task = able[view.consumer_id]
            evicted = placement.victims(task.labels(), placement.ConsumerCapacity(max_labels=SLOTS), 0)
            if evicted is not None:
                for name in evicted:
                    task.give_up(name)
                return task
        return None

    def _turn_over(self, label: str) -> Task | None:
        """A task whose busy label has had its turn."""
        for task in self._service.running:
            over = placement.turn_over(task.labels(), self._clock.now, _TURN_MIN_SECONDS)
            if over and label not in task.held:
                task.give_up(over)
                return task
        return None

    def _offload(self) -> None:
        """Let an overloaded task hand a label over to an idle task."""
        now = self._clock.now
        fleet = Fleet(tuple(task.view() for task in self._service.running), now)
        for task in self._service.running:
            if self._requested_at or not placement.others_rest(fleet, task.name, now):
                continue
            waiting = {name: self._backlog(loaded) for name, loaded in task.held.items()}
            label = placement.offload(task.labels(), waiting, now, _TURN_MIN_SECONDS, rebalancing.OVERLOADED_SECONDS)
            if label is not None:
                task.give_up(label)
                self._left[label] = task, now
                return

    def _backlog(self, loaded: LoadedLabel) -> float:
        """A holder's share of the waiting work of a label, in seconds."""
        return loaded.queue.visible_seconds / max(1, len(self.of(loaded.queue.plan.name)))
