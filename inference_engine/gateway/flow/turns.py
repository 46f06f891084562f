"""Which label goes next: those that have requests and room, by turns within the highest band that they wait in."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict

from .queues import LabelQueue


class LabelTurns:
    """Labels that could be dispatched to now, each in the highest band of its requests and in no other."""

    __slots__ = ("_bands", "_turns")

    def __init__(self) -> None:
        self._turns: dict[int, OrderedDict[LabelQueue, None]] = {}
        #: Bands in which a label has a turn, ascending.
        self._bands: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._bands)

    def place(self, queue: LabelQueue) -> None:
        """Give a label the turn that it should have, after its requests or its room have changed."""
        wanted = queue.top if queue.waiting and queue.in_flight < queue.room.limit else None
        if queue.turn_at == wanted:
            return
        if queue.turn_at is not None:
            turns = self._turns[queue.turn_at]
            del turns[queue]
            if not turns:
                del self._turns[queue.turn_at]
                self._bands.remove(queue.turn_at)
        if wanted is not None:
            if wanted not in self._turns:
                self._turns[wanted] = OrderedDict()
                insort(self._bands, wanted)
            self._turns[wanted][queue] = None
        queue.turn_at = wanted

    def next(self) -> LabelQueue:
        """The label whose turn it is; its next one has to be placed. There is one."""
        band = self._bands[-1]
        turns = self._turns[band]
        queue = turns.popitem(last=False)[0]
        queue.turn_at = None
        if not turns:
            del self._turns[band]
            self._bands.pop()
        return queue
