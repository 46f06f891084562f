"""Waiting requests: an order within a flow, turns of flows and of owners within a band, bands of a label.

Every request is removed in constant time wherever it stands, since callers may leave from anywhere: the queues here are
ordered dictionaries. A heap cannot do that: the order by deadline leaves gaps, and is rebuilt when half of it is gaps.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from .limits import Room, WaitOutcome
from .shares import Group

#: Owner and flow, as a caller names them.
Path = tuple[str, str]
#: Owner, flow and label: the groups that a waiting request belongs to, the largest first.
Whose = tuple[str, str, str]


class Item:
    """One waiting request. Times are those of the controller's clock; `settled` gets the outcome.

    `whose` is its owner, the owner's flow, and its label. `due` is the second in which it is checked again.
    """

    __slots__ = ("bytes", "deadline", "due", "entered_at", "group", "outcome", "priority", "queue", "settled", "whose")

    def __init__(
        self,
        queue: LabelQueue,
        priority: int,
        path: Path,
        size_bytes: int,
        deadline: float,
        entered_at: float,
        settled: asyncio.Future[WaitOutcome],
    ) -> None:
        self.queue = queue
        self.priority = priority
        self.whose: Whose = (*path, queue.label)
        self.bytes = size_bytes
        self.deadline = deadline
        self.entered_at = entered_at
        self.settled = settled
        self.due = 0
        self.group: Group[Item]
        self.outcome: WaitOutcome | None = None


class Line(Protocol):
    """Requests in the order in which they go."""

    def add(self, item: Item) -> None:
        """Add a request in its place."""

    def first(self) -> Item:
        """The next request; the line must not be empty."""

    def pop(self) -> Item:
        """Remove and return the next request."""

    def remove(self, item: Item) -> None:
        """Remove a request that is in the line."""

    def __len__(self) -> int: ...


class FirstComeFirstServed:
    """Requests in order of arrival."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: OrderedDict[Item, None] = OrderedDict()

    def add(self, item: Item) -> None:
        """Add a request at the end."""
        self._items[item] = None

    def first(self) -> Item:
        """The request that came first."""
        return next(iter(self._items))

    def pop(self) -> Item:
        """Remove and return the request that came first."""
        return self._items.popitem(last=False)[0]

    def remove(self, item: Item) -> None:
        """Remove a request that is in the line."""
        del self._items[item]

    def __len__(self) -> int:
        return len(self._items)


class EarliestDeadlineFirst:
    """Requests by deadline; those with equal deadlines in order of arrival."""

    __slots__ = ("_count", "_gone", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._gone: set[Item] = set()
        self._count = 0

    def add(self, item: Item) -> None:
        """Add a request where its deadline belongs."""
        self._count += 1
        heapq.heappush(self._heap, (item.deadline, self._count, item))

    def first(self) -> Item:
        """The request with the earliest deadline."""
        while (item := self._heap[0][2]) in self._gone:
            heapq.heappop(self._heap)
            self._gone.remove(item)
        return item

    def pop(self) -> Item:
        """Remove and return the request with the earliest deadline."""
        item = self.first()
        heapq.heappop(self._heap)
        return item

    def remove(self, item: Item) -> None:
        """Remove a request that is in the line."""
        self._gone.add(item)
        if len(self._gone) * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] not in self._gone]
            heapq.heapify(self._heap)
            self._gone.clear()

    def __len__(self) -> int:
        return len(self._heap) - len(self._gone)


class Turns:
    """Groups that take turns, each giving one request: the owners of a band's requests, or one owner's flows."""

    __slots__ = ("_groups", "_level", "_new_line")

    def __init__(self, level: int, new_line: Callable[[], Line]) -> None:
        self._groups: OrderedDict[str, Line] = OrderedDict()
        self._level = level
        self._new_line = new_line

    def add(self, item: Item) -> None:
        """Add a request to its group; a group that had none gets the last turn."""
        name = item.whose[self._level]
        line = self._groups.get(name)
        if line is None:
            line = self._groups[name] = self._new_line()
        line.add(item)

    def first(self) -> Item:
        """The request whose turn it is."""
        return next(iter(self._groups.values())).first()

    def pop(self) -> Item:
        """Remove and return a request of the group whose turn it is; that group then has the last turn."""
        name, line = self._groups.popitem(last=False)
        item = line.pop()
        if line:
            self._groups[name] = line
        return item

    def remove(self, item: Item) -> None:
        """Remove a request that is inside."""
        name = item.whose[self._level]
        line = self._groups[name]
        line.remove(item)
        if not line:
            del self._groups[name]

    def __len__(self) -> int:
        return len(self._groups)


class BandQueue:
    """The requests of one label in one band. `stamp` is its place among the labels of the band; the lowest goes first."""

    __slots__ = ("label", "placed", "priority", "stamp", "turns")

    def __init__(self, label: LabelQueue, priority: int, new_order: Callable[[], Line]) -> None:
        self.label = label
        self.priority = priority
        self.turns = Turns(0, lambda: Turns(1, new_order))
        self.stamp = 0
        #: Whether it has a place in a line of LabelTurns.
        self.placed = False


class LabelQueue:
    """All requests that wait for one label, and how many are on their way.

    `since` is when consumers last came or went (`room.served`), on the controller's clock.
    """

    __slots__ = ("_new_order", "_priorities", "bands", "in_flight", "label", "room", "since", "waiting")

    def __init__(self, label: str, room: Room, new_order: Callable[[], Line]) -> None:
        self.label = label
        self.room = room
        self.since = 0.0
        self.in_flight = 0
        self.waiting = 0
        self.bands: dict[int, BandQueue] = {}
        self._new_order = new_order
        self._priorities: list[int] = []

    @property
    def has_room(self) -> bool:
        """Whether one more request may be on its way."""
        return self.in_flight < self.room.limit

    @property
    def top(self) -> int:
        """The highest band that has a request; there must be one."""
        return self._priorities[-1]

    def add(self, item: Item) -> BandQueue:
        """Add a request to its band."""
        band = self.bands.get(item.priority)
        if band is None:
            band = self.bands[item.priority] = BandQueue(self, item.priority, self._new_order)
            insort(self._priorities, item.priority)
        band.turns.add(item)
        self.waiting += 1
        return band

    def pop(self, band: BandQueue) -> None:
        """Remove the next request of a band."""
        band.turns.pop()
        self._taken(band)

    def remove(self, item: Item) -> BandQueue:
        """Remove a request that is inside; returns its band."""
        band = self.bands[item.priority]
        band.turns.remove(item)
        self._taken(band)
        return band

    def _taken(self, band: BandQueue) -> None:
        self.waiting -= 1
        if not band.turns:
            del self.bands[band.priority]
            self._priorities.remove(band.priority)


class Permit:
    """A request that was dispatched and counts as on its way until it is released. Use it with `with`."""

    __slots__ = ("_queue", "_released")

    def __init__(self, queue: LabelQueue, released: Callable[[LabelQueue], None]) -> None:
        self._queue: LabelQueue | None = queue
        self._released = released

    @property
    def served(self) -> bool:
        """Whether any consumer lives, as far as is known now."""
        return self._queue is not None and self._queue.room.served

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        queue, self._queue = self._queue, None
        if queue is not None:
            self._released(queue)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()
