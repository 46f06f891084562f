"""Who loads what: pure rules over the registry's view, without I/O or a clock of their own.

Every consumer computes the same order from the same view. So one of them steps forward without a dispatcher, and the fleet
as a whole evicts like one LRU cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .view import ConsumerView, Fleet

#: A busy label keeps its slot for at least this many times its load time: switching costs less than a tenth of the fleet.
TURN_LOADS = 10
#: Another holder is worth its load when the backlog takes longer than this many loads.
HOLDER_BACKLOG_LOADS = 2
#: A consumer counts as resting only if its labels took less than this fraction of its recent time.
RESTS_BELOW = 0.1
#: This many consumers without a free slot wait on the placement queue: the best-placed one and its stand-ins.
EVICTING_POLLERS = 3


@dataclass(frozen=True, slots=True)
class HeldLabel:
    """A label that this consumer holds; times in Unix seconds, sizes in bytes.

    `idle` means that none of its jobs is in flight and that its open poll finds the queue empty.
    """

    label: str
    idle: bool
    last_used: float
    loaded_at: float
    load_seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerCapacity:
    """How much a consumer can hold: a number of labels, a number of bytes, or both."""

    max_labels: int | None = None
    memory_bytes: int | None = None

    def free_slots(self, held: Sequence[HeldLabel]) -> int:
        """How many labels could be loaded now without an eviction."""
        slots = self.max_labels - len(held) if self.max_labels is not None else 1
        if self.memory_bytes is not None:
            used = sum(label.size_bytes for label in held)
            # With bytes alone, how many more fit is unknown: assume the mean size of those held, and one if none is held.
            mean = used / len(held) if held else 0
            room = self.memory_bytes - used
            fit = int(room // mean) if mean else (1 if room > 0 else 0)
            slots = min(slots, fit) if self.max_labels is not None else fit
        return max(slots, 0)

    def fits(self, held: Sequence[HeldLabel], size_bytes: int) -> bool:
        """Whether one more label of this size fits."""
        if self.max_labels is not None and len(held) >= self.max_labels:
            return False
        used = sum(label.size_bytes for label in held)
        # A model larger than the whole budget is still tried, alone: the budget guides and does not enforce.
        return self.memory_bytes is None or not held or used + size_bytes <= self.memory_bytes


def order(fleet: Fleet, now: float) -> list[ConsumerView]:
    """Live consumers that can take a label, best first: those with the most free slots, then the coldest evictable label."""
    able = [view for view in fleet.live(now) if view.free_slots > 0 or view.coldest_at is not None]
    return sorted(
        able,
        key=lambda view: (
            -view.free_slots,
            view.coldest_at if view.coldest_at is not None and view.free_slots == 0 else 0.0,
            view.consumer_id,
        ),
    )


def rank(fleet: Fleet, consumer_id: str, now: float) -> int | None:
    """The consumer's place in that order, from 0; None if it can take no label."""
    for place, view in enumerate(order(fleet, now)):
        if view.consumer_id == consumer_id:
            return place
    return None


def victims(held: Iterable[HeldLabel], capacity: ConsumerCapacity, size_bytes: int) -> list[str] | None:
    """The idle labels to evict, coldest first, so that a label of `size_bytes` fits; None if that is impossible."""
    kept = list(held)
    chosen: list[str] = []
    idle = sorted((label for label in kept if label.idle), key=lambda label: (label.last_used, label.label))
    for coldest in idle:
        if capacity.fits(kept, size_bytes):
            break
        kept.remove(coldest)
        chosen.append(coldest.label)
    return chosen if capacity.fits(kept, size_bytes) else None


def coldest_at(held: Iterable[HeldLabel]) -> float | None:
    """When the label that would be evicted next was last used; None if none is idle."""
    return min((label.last_used for label in held if label.idle), default=None)


def turn_over(held: Iterable[HeldLabel], now: float, turn_min_seconds: float) -> str | None:
    """The busy label that has had its turn and must make room for a waiting one: the label loaded longest ago; None if none.

    A turn lasts at least `turn_min_seconds` and ten times the load time. A loading label's turn has not begun.
    """
    served = had_turn(held, now, turn_min_seconds)
    return min(served, key=lambda label: (label.loaded_at, label.label)).label if served else None


def had_turn(held: Iterable[HeldLabel], now: float, turn_min_seconds: float) -> list[HeldLabel]:
    """The busy labels that have had their turn."""
    return [
        label
        for label in held
        if label.loaded_at
        and not label.idle
        and now - label.loaded_at >= max(turn_min_seconds, TURN_LOADS * label.load_seconds)
    ]


def offload(
    held: Iterable[HeldLabel],
    waiting: Mapping[str, float],
    now: float,
    turn_min_seconds: float,
    overloaded_seconds: float,
) -> str | None:
    """The label that an overloaded consumer leaves to an idle one: its label with the most work; None if it should keep all.

    `waiting` is the waiting work by label, in seconds of this consumer's time. A consumer is overloaded when the total exceeds
    `overloaded_seconds`. The only label with work stays: elsewhere it would not be served sooner.
    """
    served = [label.label for label in had_turn(held, now, turn_min_seconds) if waiting.get(label.label)]
    if len(served) < 2 or sum(waiting.values()) <= overloaded_seconds:
        return None
    return max(served, key=lambda label: (waiting[label], label))


def others_rest(fleet: Fleet, consumer_id: str, now: float) -> bool:
    """Whether another consumer has nothing to do, had hardly any work recently, and has room for a label."""
    return any(
        view.consumer_id != consumer_id
        and not (view.in_flight or view.loading)
        and (view.free_slots > 0 or view.coldest_at is not None)
        and sum(label.busy for label in view.loaded.values()) < RESTS_BELOW
        for view in fleet.live(now)
    )


def wanted_holders(
    *, backlog: int, service_seconds: float, load_seconds: float, holders: int, lanes: int, target_seconds: float
) -> int:
    """How many holders a label's backlog is worth: enough to work it off within the target or two loads, whichever is longer.

    At most its lanes, and never fewer than it has now: idle holders go by eviction.
    """
    seconds = backlog * service_seconds
    return max(holders, min(lanes, math.ceil(seconds / max(target_seconds, HOLDER_BACKLOG_LOADS * load_seconds))))


def waits_for_requests(fleet: Fleet, consumer_id: str, now: float) -> bool:
    """Whether this consumer waits on the placement queue. All consumers with a free slot do, and the best placed of the rest.

    More of the rest wait while others load: where many load, there is more to load.
    """
    place = rank(fleet, consumer_id, now)
    view = fleet.get(consumer_id)
    if place is None or view is None:
        return False
    return view.free_slots > 0 or place < EVICTING_POLLERS + _loading_elsewhere(fleet, consumer_id, now)


def min_request_age_seconds(
    fleet: Fleet, consumer_id: str, now: float, *, interval_seconds: float, idle_seconds: float
) -> float:
    """How old (seconds) a load request must be before this consumer takes it; infinite if it can take none.

    A consumer with a free slot takes a request at once: all such consumers wait on the queue, and SQS gives a request to one of
    them. A consumer that would have to evict first leaves it to better-placed ones: `interval_seconds` for each that is not
    already loading, and `idle_seconds` more while any has a free slot, because a needless eviction costs two label misses.
    """
    order_now = order(fleet, now)
    for place, view in enumerate(order_now):
        if view.consumer_id == consumer_id:
            if view.free_slots:
                return 0.0
            waits = max(0, place - _loading_elsewhere(fleet, consumer_id, now)) * interval_seconds
            return waits + (idle_seconds if order_now[0].free_slots else 0.0)
    return math.inf


def _loading_elsewhere(fleet: Fleet, consumer_id: str, now: float) -> int:
    return sum(bool(view.loading) and view.consumer_id != consumer_id for view in fleet.live(now))
