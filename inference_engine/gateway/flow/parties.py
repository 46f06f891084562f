"""Whose requests wait, level by level, and who of them has most."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

#: Of what a party may have most.
Measure = Callable[["Party[Any]"], int]
REQUESTS: Measure = attrgetter("requests")
BYTES: Measure = attrgetter("bytes")


class Party(Generic[Item]):
    """All requests of a band that wait, or those of an owner, of one of its flows, of one label of a flow.

    A party has what its parts have together, however many they are; on the last level it has `items` instead, as they came.
    Who has most is asked only where there is no place: nothing is kept for it until it is asked, nor when most of that is old.
    """

    __slots__ = ("_rankings", "bytes", "items", "name", "parts", "requests", "whole")

    def __init__(self, name: str = "", whole: Party[Item] | None = None) -> None:
        self.name = name
        #: What it is a part of.
        self.whole = whole
        self.requests = 0
        self.bytes = 0
        self.parts: dict[str, Party[Item]] = {}
        self.items: OrderedDict[Item, None] = OrderedDict()
        self._rankings: dict[Measure, Ranking] = {}

    def at(self, names: Iterable[str]) -> Party[Item]:
        """The party that is named level by level; it has to `gain` something where it is a new one."""
        party: Party[Item] = self
        for name in names:
            part = party.parts.get(name)
            if part is None:
                part = party.parts[name] = Party(name, party)
            party = part
        return party

    def gain(self, requests: int, size_bytes: int) -> None:
        """Have so much more, and so all that it is a part of."""
        party: Party[Item] = self
        while (whole := party.whole) is not None:
            party.requests += requests
            party.bytes += size_bytes
            if whole._rankings:
                whole._raised(party)
            party = whole
        party.requests += requests
        party.bytes += size_bytes

    def lose(self, requests: int, size_bytes: int) -> None:
        """Have so much less, and so all that it is a part of; of what has no requests any more nothing is kept."""
        party: Party[Item] = self
        while (whole := party.whole) is not None:
            party.requests -= requests
            party.bytes -= size_bytes
            if not party.requests:
                del whole.parts[party.name]
            party = whole
        party.requests -= requests
        party.bytes -= size_bytes

    def _raised(self, part: Party[Item]) -> None:
        for measure, ranking in list(self._rankings.items()):
            if ranking.raised(part.name, measure(part)) > 64 + 2 * len(self.parts):
                del self._rankings[measure]

    def most(self, measure: Measure) -> Party[Item] | None:
        """The part that has most requests, or bytes, of equals the first by name; None where none has any."""
        if len(self.parts) < 2:
            return next((part for part in self.parts.values() if measure(part)), None)
        ranking = self._rankings.get(measure)
        if ranking is None:
            ranking = self._rankings[measure] = Ranking({name: measure(part) for name, part in self.parts.items()})
        name = ranking.most(lambda name: measure(self.parts[name]) if name in self.parts else 0)
        return None if name is None else self.parts[name]

    def largest(self, measure: Measure) -> Party[Item]:
        """Its largest part, that one's largest, and so on to the last level."""
        part = self.most(measure) if self.parts else None
        return self if part is None else part.largest(measure)


class Ranking:
    """Who has most: a heap in which each party stands with what it has, or once had.

    Who has more than that is put into it again, and who has less is put right only when it is met on top. So those who get less
    cost nothing until somebody asks, and whoever asks pays only for what has changed.
    """

    __slots__ = ("_heap", "_noted")

    def __init__(self, amounts: dict[str, int]) -> None:
        #: What the one entry of each party that counts says; its others are old.
        self._noted = amounts
        self._heap = [(-amount, name) for name, amount in amounts.items()]
        heapq.heapify(self._heap)

    def raised(self, name: str, amount: int) -> int:
        """A party has so much now; how many entries there are."""
        if amount > self._noted.get(name, 0):
            self._noted[name] = amount
            heapq.heappush(self._heap, (-amount, name))
        return len(self._heap)

    def most(self, of: Callable[[str], int]) -> str | None:
        """Who has most, if anybody has any; `of` tells what a party has now."""
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
