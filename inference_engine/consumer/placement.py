"""Who loads what: pure rules over the registry's view. No I/O, no clock of their own.

Every consumer computes the same order from the same view, so that without a dispatcher one of them steps forward and the
fleet as a whole evicts like one LRU cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..fleet import ConsumerView, Fleet

#: A busy label keeps its slot for at least so many times what its load cost: switching stays below a tenth of the fleet.
TURN_LOADS = 10
#: Another host is worth its load when the backlog outlasts so many loads.
HOST_BACKLOG_LOADS = 2
#: A consumer rests whose labels took less than this part of its time of late.
RESTS_BELOW = 0.1
#: So many consumers without a free slot wait on the placement queue: the best placed one, and those that step in for it.
EVICTING_POLLERS = 3


@dataclass(frozen=True, slots=True)
class Held:
    """A label that this consumer holds; times in Unix seconds, sizes in bytes.

    `idle` means that no job of it is in flight and its last poll came back empty.
    """

    label: str
    idle: bool
    last_used: float
    loaded_at: float
    load_seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a consumer can hold: a number of labels, a number of bytes, or both."""

    max_labels: int | None = None
    memory_bytes: int | None = None

    def free_slots(self, held: Sequence[Held]) -> int:
        """Labels that could be loaded now without evicting one."""
        slots = self.max_labels - len(held) if self.max_labels is not None else 1
        if self.memory_bytes is not None:
            used = sum(label.size_bytes for label in held)
            # With bytes alone nobody knows how many more fit: as many as of the mean size held, one when none is.
            mean = used / len(held) if held else 0
            room = self.memory_bytes - used
            fit = int(room // mean) if mean else (1 if room > 0 else 0)
            slots = min(slots, fit) if self.max_labels is not None else fit
        return max(slots, 0)

    def fits(self, held: Sequence[Held], size_bytes: int) -> bool:
        """Whether one more label of that size can be held."""
        if self.max_labels is not None and len(held) >= self.max_labels:
            return False
        used = sum(label.size_bytes for label in held)
        # A model that is larger than the whole budget is still tried, alone: the budget is a plan, not a fence.
        return self.memory_bytes is None or not held or used + size_bytes <= self.memory_bytes


def order(fleet: Fleet, now: float) -> list[ConsumerView]:
    """Live consumers that can take a label, best first: most free slots, then the coldest evictable label."""
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
    """The consumer's place in that order; None when it can take nothing."""
    for place, view in enumerate(order(fleet, now)):
        if view.consumer_id == consumer_id:
            return place
    return None


def victims(held: Iterable[Held], capacity: Capacity, size_bytes: int) -> list[str] | None:
    """The idle labels to evict, coldest first, so that a label of `size_bytes` fits; None when that cannot be."""
    kept = list(held)
    chosen: list[str] = []
    idle = sorted((label for label in kept if label.idle), key=lambda label: (label.last_used, label.label))
    for coldest in idle:
        if capacity.fits(kept, size_bytes):
            break
        kept.remove(coldest)
        chosen.append(coldest.label)
    return chosen if capacity.fits(kept, size_bytes) else None


def coldest_at(held: Iterable[Held]) -> float | None:
    """When the label that would be evicted next was last used; None when none is idle."""
    return min((label.last_used for label in held if label.idle), default=None)


def turn_over(held: Iterable[Held], now: float, turn_min_seconds: float) -> str | None:
    """The busy label that has had its turn and must make room for a waiting one; the one with the longest turn first.

    A turn lasts at least `turn_min_seconds` and ten times what the load cost; that of a label that is loading has not begun.
    """
    served = had_turn(held, now, turn_min_seconds)
    return min(served, key=lambda label: (label.loaded_at, label.label)).label if served else None


def had_turn(held: Iterable[Held], now: float, turn_min_seconds: float) -> list[Held]:
    """The busy labels that have had their turn."""
    return [
        label
        for label in held
        if label.loaded_at
        and not label.idle
        and now - label.loaded_at >= max(turn_min_seconds, TURN_LOADS * label.load_seconds)
    ]


def relief(
    held: Iterable[Held], waiting: Mapping[str, float], now: float, turn_min_seconds: float, overloaded_seconds: float
) -> str | None:
    """The label that a consumer with too much to do leaves to one with nothing to do: the one with most work.

    `waiting` is the work that waits by label, in seconds of this consumer's time: too much is more than `overloaded_seconds` in
    all. A label that is alone with its work stays: elsewhere it would not be served sooner.
    """
    served = [label.label for label in had_turn(held, now, turn_min_seconds) if waiting.get(label.label)]
    if len(served) < 2 or sum(waiting.values()) <= overloaded_seconds:
        return None
    return max(served, key=lambda label: (waiting[label], label))


def others_rest(fleet: Fleet, consumer_id: str, now: float) -> bool:
    """Whether another consumer has nothing to do, has had hardly anything of late, and has room for a label."""
    return any(
        view.consumer_id != consumer_id
        and not (view.in_flight or view.loading)
        and (view.free_slots > 0 or view.coldest_at is not None)
        and sum(label.busy for label in view.loaded.values()) < RESTS_BELOW
        for view in fleet.live(now)
    )


def wanted_hosts(
    *, backlog: int, service_seconds: float, load_seconds: float, hosts: int, lanes: int, target_seconds: float
) -> int:
    """How many hosts a label's backlog is worth: as many as work it off within the target, or within two loads.

    Never more than its lanes, nor fewer than it has: hosts go by eviction, when they are idle.
    """
    seconds = backlog * service_seconds
    return max(hosts, min(lanes, math.ceil(seconds / max(target_seconds, HOST_BACKLOG_LOADS * load_seconds))))


def waits_for_requests(fleet: Fleet, consumer_id: str, now: float) -> bool:
    """Whether this consumer waits on the placement queue: all with a free slot do, and the best placed of the others.

    More of them while others load: where many load, there is more to be loaded.
    """
    place = rank(fleet, consumer_id, now)
    view = fleet.get(consumer_id)
    if place is None or view is None:
        return False
    return view.free_slots > 0 or place < EVICTING_POLLERS + _loading_elsewhere(fleet, consumer_id, now)


def patience_seconds(
    fleet: Fleet, consumer_id: str, now: float, *, interval_seconds: float, idle_seconds: float
) -> float:
    """How old a load request must be before this consumer takes it; infinite for one that can take nothing.

    Whoever has a free slot takes one at once: all of them wait on the queue, and SQS gives a request to one of them. A
    consumer that would have to evict leaves it to others that could do better: a moment per better-placed one that is not
    loading already, and longer while somebody has a free slot, because an eviction there was no need for costs two misses.
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
