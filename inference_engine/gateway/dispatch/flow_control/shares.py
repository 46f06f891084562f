"""Whose requests wait, level by level, and which group has most."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

#: A quantity by which groups are compared.
Measure = Callable[["Group[Any]"], int]
REQUESTS: Measure = attrgetter("requests")
BYTES: Measure = attrgetter("bytes")


class Group(Generic[Item]):
    """All waiting requests of a band, or those of an owner, of one of its flows, or of one label of a flow.

    A group has the sum of its parts, however many they are; on the last level it has `items` instead, in order of arrival.
    Which part has most is asked only in a full band: a ranking is built when first asked for, and dropped once mostly outdated.
    """

    __slots__ = ("_rankings", "bytes", "items", "name", "parts", "requests", "whole")

    def __init__(self, name: str = "", whole: Group[Item] | None = None) -> None:
        self.name = name
        #: The group that this one is a part of.
        self.whole = whole
        self.requests = 0
        self.bytes = 0
        self.parts: dict[str, Group[Item]] = {}
        self.items: OrderedDict[Item, None] = OrderedDict()
        self._rankings: dict[Measure, Ranking] = {}

    def at(self, names: Iterable[str]) -> Group[Item]:
        """The group named level by level; a new one must `gain` something."""
        group: Group[Item] = self
        for name in names:
            part = group.parts.get(name)
            if part is None:
                part = group.parts[name] = Group(name, group)
            group = part
        return group

    def gain(self, requests: int, size_bytes: int) -> None:
        """Add to this group and to every group that contains it."""
        group: Group[Item] = self
        while (whole := group.whole) is not None:
            group.requests += requests
            group.bytes += size_bytes
            if whole._rankings:
                whole._raised(group)
            group = whole
        group.requests += requests
        group.bytes += size_bytes

    def lose(self, requests: int, size_bytes: int) -> None:
        """Subtract from this group and from every group that contains it; one without requests is removed."""
        group: Group[Item] = self
        while (whole := group.whole) is not None:
            group.requests -= requests
            group.bytes -= size_bytes
            if not group.requests:
                del whole.parts[group.name]
            group = whole
        group.requests -= requests
        group.bytes -= size_bytes

    def _raised(self, part: Group[Item]) -> None:
        for measure, ranking in list(self._rankings.items()):
            if ranking.raised(part.name, measure(part)) > 64 + 2 * len(self.parts):
                del self._rankings[measure]

    def most(self, measure: Measure) -> Group[Item] | None:
        """The part with the most by `measure`, the first by name among equals; None where no part has any."""
        if len(self.parts) < 2:
            return next((part for part in self.parts.values() if measure(part)), None)
        ranking = self._rankings.get(measure)
        if ranking is None:
            ranking = self._rankings[measure] = Ranking({name: measure(part) for name, part in self.parts.items()})
        name = ranking.most(lambda name: measure(self.parts[name]) if name in self.parts else 0)
        return None if name is None else self.parts[name]

    def largest(self, measure: Measure) -> Group[Item]:
        """The largest part's largest part, and so on to the last level."""
        part = self.most(measure) if self.parts else None
        return self if part is None else part.largest(measure)


class Ranking:
    """Which group has most: a heap in which each group stands with an amount that it has or once had.

    A group that gains more than its noted amount is pushed again; one that has lost some is corrected only when it reaches the
    top. Losses therefore cost nothing until somebody asks, and a question costs only what has changed.
    """

    __slots__ = ("_heap", "_noted")

    def __init__(self, amounts: dict[str, int]) -> None:
        #: The amount in each group's one valid entry; its other entries are outdated.
        self._noted = amounts
        self._heap = [(-amount, name) for name, amount in amounts.items()]
        heapq.heapify(self._heap)

    def raised(self, name: str, amount: int) -> int:
        """Note a group's new amount; returns how many entries there are."""
        if amount > self._noted.get(name, 0):
            self._noted[name] = amount
            heapq.heappush(self._heap, (-amount, name))
        return len(self._heap)

    def most(self, of: Callable[[str], int]) -> str | None:
        """The group that has most, None where no group has any; `of` returns a group's present amount."""
        while self._heap:
            negative, name = self._heap[0]
            amount = of(name) if self._noted.get(name) == -negative else 0
            if not amount:
                heapq.heappop(self._heap)
                if self._noted.get(name) == -negative:
                    del self._noted[name]
            elif amount == -negative:
                return name
            else:
                self._noted[name] = amount
                heapq.heapreplace(self._heap, (-amount, name))
        return None
