"""The slots of a consumer: which label is in which, and what it does there.

A label's state is changed here and nowhere else:

    LOADING ──serve──► SERVING ──leave──► LEAVING ──free──► FREE
        │                                    ▲
        └──────────────leave─────────────────┘
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ..fleet.placement import HeldLabel
from ..fleet.view import LabelSettings
from .in_flight import InFlightMessage

#: A poll that has been open this long found the queue empty: SQS answers at once if it has messages.
IDLE_AFTER_SECONDS = 0.5


class SlotState(Enum):
    """What a label does in its slot."""

    LOADING = "its model is being loaded"
    SERVING = "its queue is polled and its jobs are computed"
    LEAVING = "it takes no more jobs; its model is still there"
    FREE = "its model is gone"


@dataclass(eq=False, slots=True)
class LoadedLabel:
    """One label in a slot; times in Unix seconds, sizes in bytes."""

    label: str
    url: str
    lanes: int = 1
    size_bytes: int = 0
    load_seconds: float = 0.0
    loaded_at: float = 0.0
    last_used: float = field(default_factory=time.time)
    state: SlotState = SlotState.LOADING
    #: Jobs of batches that are not over.
    in_flight: int = 0
    #: Its messages whose jobs are in hand.
    in_hand: set[InFlightMessage] = field(default_factory=set)
    #: Open polls, and since when they have found nothing.
    polls: int = 0
    polling_since: float = 0.0
    #: Polls that wait because this consumer has all the jobs that it may have.
    held_back: int = 0
    batch_sent_at: float | None = None
    #: Bounds how many of its jobs are computed at once; None without a bound.
    limit: asyncio.Semaphore | None = None
    _max_in_flight: int | None = None
    _batch_ended: asyncio.Event = field(default_factory=asyncio.Event)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def allow(self, settings: LabelSettings) -> None:
        """Apply the label's settings to jobs received from now on."""
        self.lanes = settings.lanes
        if settings.max_in_flight == self._max_in_flight:
            # A new semaphore would forget the jobs that the old one counts.
            return
        self._max_in_flight = settings.max_in_flight
        self.limit = asyncio.Semaphore(settings.max_in_flight) if settings.max_in_flight else None

    def as_held(self, now: float) -> HeldLabel:
        """The label as the placement rules need it."""
        waiting = self.polls > 0 and now - self.polling_since >= IDLE_AFTER_SECONDS
        idle = self.state is SlotState.SERVING and self.in_flight == 0 and waiting and not self.held_back
        return HeldLabel(self.label, idle, self.last_used, self.loaded_at, self.load_seconds, self.size_bytes)

    def oldest_sent_at(self, now: float) -> float | None:
        """When its oldest job in hand, or of its last batch while more may wait, was sent (Unix seconds); None for neither."""
        sent_at = [message.received.sent_at for message in self.in_hand]
        if self.batch_sent_at is not None and not self.as_held(now).idle:
            sent_at.append(self.batch_sent_at)
        return min(sent_at, default=None)

    def serve(self) -> None:
        """Its model is ready."""
        self.state, self.loaded_at = SlotState.SERVING, time.time()

    def leave(self) -> None:
        """Take no more jobs."""
        self.state = SlotState.LEAVING

    def free(self) -> None:
        """Its model is gone, and with it the memory."""
        self.state = SlotState.FREE
        self._freed.set()

    def begin(self, jobs: int, sent_at: float) -> None:
        """Count a batch of jobs; the oldest was sent at `sent_at`."""
        self.in_flight += jobs
        self.last_used = time.time()
        self.batch_sent_at = sent_at

    def end(self, jobs: int) -> None:
        """A batch of jobs is over."""
        self.in_flight -= jobs
        self.last_used = time.time()
        self._batch_ended.set()

    async def emptied(self) -> None:
        """Wait until none of its jobs is in flight."""
        while self.in_flight:
            self._batch_ended.clear()
            await self._batch_ended.wait()

    async def freed(self) -> None:
        """Wait until its model is gone."""
        await self._freed.wait()


@dataclass(frozen=True, slots=True)
class SlotsView:
    """The slots at one moment: every label that has one, those that load, and those that serve with their oldest job's time."""

    held: list[HeldLabel]
    loading: tuple[str, ...]
    serving: dict[LoadedLabel, float | None]
    in_flight: int


class Slots:
    """All labels that have a slot. Iterate over a copy of them: any await may change them."""

    def __init__(self) -> None:
        self._labels: dict[str, LoadedLabel] = {}

    def __contains__(self, label: str) -> bool:
        return label in self._labels

    def __iter__(self) -> Iterator[LoadedLabel]:
        return iter(list(self._labels.values()))

    def get(self, label: str) -> LoadedLabel | None:
        """The label's slot; None if it has none."""
        return self._labels.get(label)

    def holds(self, loaded: LoadedLabel) -> bool:
        """Whether this is the label's slot still: the label may have left and been loaded again."""
        return self._labels.get(loaded.label) is loaded

    @property
    def serving(self) -> list[LoadedLabel]:
        """Labels whose model is ready."""
        return [loaded for loaded in self._labels.values() if loaded.state is SlotState.SERVING]

    @property
    def in_flight(self) -> int:
        """Jobs that this consumer has received and not finished."""
        return sum([loaded.in_flight for loaded in self._labels.values()])

    def held(self) -> list[HeldLabel]:
        """All labels that have a slot, including those that are loading (never idle) but not those that are leaving."""
        now = time.time()
        return [loaded.as_held(now) for loaded in self._labels.values() if loaded.state is not SlotState.LEAVING]

    def view(self) -> SlotsView:
        """All that others may know of them, at this moment."""
        now = time.time()
        loading = (loaded.label for loaded in self._labels.values() if loaded.state is SlotState.LOADING)
        serving = {loaded: loaded.oldest_sent_at(now) for loaded in self.serving}
        return SlotsView(self.held(), tuple(loading), serving, self.in_flight)

    def reserve(self, new: LoadedLabel, victims: Sequence[str] = ()) -> list[LoadedLabel]:
        """Give the victims' slots to `new` in one atomic step. Returns the labels that leave."""
        leaving = [self._labels[victim] for victim in victims]
        for victim in leaving:
            victim.leave()
        self._labels[new.label] = new
        return leaving

    def remove(self, loaded: LoadedLabel) -> None:
        """Free a label's slot: its model is gone."""
        if self.holds(loaded):
            del self._labels[loaded.label]
        loaded.free()

    def clear(self) -> list[LoadedLabel]:
        """Free all slots at once, and return the labels that were there: the backend that held them is gone."""
        gone = list(self)
        for loaded in gone:
            self.remove(loaded)
        return gone

    def leave_all(self) -> None:
        """Take no more jobs for any label."""
        for loaded in self._labels.values():
            loaded.leave()

    async def room(self) -> None:
        """Wait until the leaving labels have freed their memory."""
        await asyncio.gather(*(loaded.freed() for loaded in self if loaded.state is SlotState.LEAVING))
