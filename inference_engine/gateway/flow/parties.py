"""Owners and their flows, and who of them has most of what waits."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import Protocol, TypeVar

from .queues import Item


class Party(Protocol):
    """Who has requests that wait, of so many bytes."""

    requests: int
    bytes: int


#: Of what a party may have most.
Measure = Callable[[Party], int]
REQUESTS: Measure = attrgetter("requests")
BYTES: Measure = attrgetter("bytes")


P = TypeVar("P", bound=Party)


class Peers(dict[str, P]):
    """Parties by name, and who of them has most; of equals, the first by name.

    Who has most is asked only where there is no place: nothing is kept for it until it is asked, nor when most of that is old.
    """

    __slots__ = ("_rankings",)

    def __init__(self) -> None:
        super().__init__()
        self._rankings: dict[Measure, Ranking] = {}

    def raised(self, name: str) -> None:
        """A party has more than it had."""
        if self._rankings:
            party = self[name]
            for measure, ranking in list(self._rankings.items()):
                if ranking.raised(name, measure(party)) > 64 + 2 * len(self):
                    del self._rankings[measure]

    def most(self, measure: Measure) -> tuple[str, int]:
        """Who has most requests, or bytes, and how much; no name and 0 where nobody has any."""
        ranking = self._rankings.get(measure)
        if ranking is None:
            ranking = self._rankings[measure] = Ranking({name: measure(party) for name, party in self.items()})
        return ranking.most(lambda name: measure(self[name]) if name in self else 0)


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

    def most(self, of: Callable[[str], int]) -> tuple[str, int]:
        """Who has most, and how much; `of` tells what a party has now."""
        while self._heap:
            negative, name = self._heap[0]
            amount = of(name) if self._noted.get(name) == -negative else 0
            if not amount:
                heapq.heappop(self._heap)
                if self._noted.get(name) == -negative:
                    del self._noted[name]
            elif amount == -negative:
                return name, amount
            else:
                self._noted[name] = amount
                heapq.heapreplace(self._heap, (-amount, name))
        return "", 0


class Flow:
    """The requests of one flow in one band, as they came."""

    __slots__ = ("bytes", "items", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.items: OrderedDict[Item, None] = OrderedDict()


class Owner:
    """The flows of one owner in one band; it has what they have together, however many it names."""

    __slots__ = ("bytes", "flows", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.flows: Peers[Flow] = Peers()
