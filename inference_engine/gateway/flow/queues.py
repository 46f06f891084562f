"""What waits: an order inside a flow, turns of flows inside a band, bands of a label.

Everything is taken out in constant time wherever it stands, since callers leave from anywhere: the ordered dictionaries here are
queues. A heap cannot do that, so the order by deadline leaves a gap and is built anew when half of it is gaps.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import insort
from collections import OrderedDict
from typing import Protocol

from .limits import Outcome, Room


class Item:
    """One request that waits. Times are those of the controller's clock; `settled` gets the outcome."""

    __slots__ = ("bytes", "deadline", "entered_at", "expires_at", "flow", "label", "outcome", "priority", "settled")

    def __init__(
        self,
        label: str,
        priority: int,
        flow: str,
        size_bytes: int,
        deadline: float,
        entered_at: float,
        expires_at: float,
        settled: asyncio.Future[Outcome],
    ) -> None:
        self.label = label
        self.priority = priority
        self.flow = flow
        self.bytes = size_bytes
        self.deadline = deadline
        self.entered_at = entered_at
        self.expires_at = expires_at
        self.settled = settled
        self.outcome: Outcome | None = None


class Order(Protocol):
    """The requests of one flow, in the order in which they go."""

    def add(self, item: Item) -> None:
        """Put one behind, or where it belongs."""

    def pop(self) -> Item:
        """Take the next one; there is one."""

    def remove(self, item: Item) -> None:
        """Take one that is inside."""

    def __len__(self) -> int: ...


class FirstComeFirstServed:
    """Requests in the order in which they came."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: OrderedDict[Item, None] = OrderedDict()

    def add(self, item: Item) -> None:
        """Put one behind."""
        self._items[item] = None

    def pop(self) -> Item:
        """Take the first one."""
        return self._items.popitem(last=False)[0]

    def remove(self, item: Item) -> None:
        """Take one that is inside."""
        del self._items[item]

    def __len__(self) -> int:
        return len(self._items)


class EarliestDeadlineFirst:
    """Requests by their deadlines; those of one deadline in the order in which they came."""

    __slots__ = ("_count", "_gone", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._gone: set[Item] = set()
        self._count = 0

    def add(self, item: Item) -> None:
        """Put one where its deadline belongs."""
        self._count += 1
        heapq.heappush(self._heap, (item.deadline, self._count, item))

    def pop(self) -> Item:
        """Take the one of the earliest deadline."""
        while (item := heapq.heappop(self._heap)[2]) in self._gone:
            self._gone.remove(item)
        return item

    def remove(self, item: Item) -> None:
        """Take one that is inside."""
        self._gone.add(item)
        if len(self._gone) * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] not in self._gone]
            heapq.heapify(self._heap)
            self._gone.clear()

    def __len__(self) -> int:
        return len(self._heap) - len(self._gone)


class Turns:
    """The flows of one label and band that have requests; each gives one in its turn."""

    __slots__ = ("_flows", "_new_order")

    def __init__(self, new_order: type[FirstComeFirstServed] | type[EarliestDeadlineFirst]) -> None:
        self._flows: OrderedDict[str, Order] = OrderedDict()
        self._new_order = new_order

    def add(self, item: Item) -> None:
        """Put a request into its flow; a flow that had none gets the last turn."""
        order = self._flows.get(item.flow)
        if order is None:
            order = self._flows[item.flow] = self._new_order()
        order.add(item)

    def pop(self) -> Item:
        """Take a request of the flow whose turn it is, which then has the last one."""
        name, order = self._flows.popitem(last=False)
        item = order.pop()
        if order:
            self._flows[name] = order
        return item

    def remove(self, item: Item) -> None:
        """Take one that is inside."""
        order = self._flows[item.flow]
        order.remove(item)
        if not order:
            del self._flows[item.flow]

    def __bool__(self) -> bool:
        return bool(self._flows)


class LabelQueue:
    """All that waits for one label, and how much of it is on its way.

    `turn_at` is the band in which the label has a turn among others, None while it has none.
    """

    __slots__ = ("_bands", "_new_order", "_priorities", "in_flight", "label", "room", "turn_at", "waiting")

    def __init__(
        self, label: str, room: Room, new_order: type[FirstComeFirstServed] | type[EarliestDeadlineFirst]
    ) -> None:
        self.label = label
        self.room = room
        self.in_flight = 0
        self.waiting = 0
        self.turn_at: int | None = None
        self._new_order = new_order
        self._bands: dict[int, Turns] = {}
        self._priorities: list[int] = []

    @property
    def top(self) -> int:
        """The highest band that has a request; there is one."""
        return self._priorities[-1]

    def add(self, item: Item) -> None:
        """Put a request into its band."""
        turns = self._bands.get(item.priority)
        if turns is None:
            turns = self._bands[item.priority] = Turns(self._new_order)
            insort(self._priorities, item.priority)
        turns.add(item)
        self.waiting += 1

    def pop(self) -> Item:
        """Take the next request of the highest band."""
        priority = self._priorities[-1]
        turns = self._bands[priority]
        item = turns.pop()
        self.waiting -= 1
        if not turns:
            del self._bands[priority]
            self._priorities.pop()
        return item

    def remove(self, item: Item) -> None:
        """Take one that is inside."""
        turns = self._bands[item.priority]
        turns.remove(item)
        self.waiting -= 1
        if not turns:
            del self._bands[item.priority]
            self._priorities.remove(item.priority)
