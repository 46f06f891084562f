"""Which label goes next in which band: labels with requests and room there take turns.

A label keeps its place while it has no room, and while it is served in a higher band: otherwise labels that are always at
their limit, or that have urgent requests now and then, would always be last. Places are therefore numbers, and a band's labels
a heap of them; a label without room drops out of the heap when it is met, and returns with its old number.
"""

from __future__ import annotations

import heapq
from bisect import insort

from .queues import BandQueue, LabelQueue


class LabelTurns:
    """The labels of each band that may be next."""

    __slots__ = ("_bands", "_gone", "_lines", "_stamp")

    def __init__(self) -> None:
        self._lines: dict[int, list[tuple[int, BandQueue]]] = {}
        #: Bands that have a line, ascending.
        self._bands: list[int] = []
        #: Places in lines whose requests have since left.
        self._gone = 0
        self._stamp = 0

    def __bool__(self) -> bool:
        return bool(self._bands)

    def join(self, band: BandQueue) -> None:
        """Give a label the last place: it has its first request in a band, or has had its turn and has more."""
        self._stamp += 1
        band.stamp = self._stamp
        self._place(band)

    def stay(self, band: BandQueue) -> None:
        """Give a label its old place back: its turn came, but was not used."""
        self._place(band)

    def settle(self, queue: LabelQueue) -> None:
        """Give a label its old places back where it has room again."""
        if queue.has_room:
            for band in queue.bands.values():
                if not band.placed:
                    self._place(band)

    def left(self, band: BandQueue) -> None:
        """The last request of a label in a band has left, though not by its turn."""
        if band.placed:
            self._gone += 1
            if self._gone > 64 and self._gone * 2 > sum(map(len, self._lines.values())):
                self._tidy()

    def next(self) -> BandQueue | None:
        """Take the label whose turn it is in the highest band; None where none has room. It has no place afterwards."""
        while self._bands:
            line = self._lines[self._bands[-1]]
            band = heapq.heappop(line)[1]
            if not line:
                del self._lines[self._bands.pop()]
            band.placed = False
            if not band.turns:
                self._gone -= 1
            elif band.label.has_room:
                return band
        return None

    def _place(self, band: BandQueue) -> None:
        line = self._lines.get(band.priority)
        if line is None:
            line = self._lines[band.priority] = []
            insort(self._bands, band.priority)
        heapq.heappush(line, (band.stamp, band))
        band.placed = True

    def _tidy(self) -> None:
        self._gone = 0
        for priority, line in list(self._lines.items()):
            kept = [place for place in line if place[1].turns]
            heapq.heapify(kept)
            if kept:
                self._lines[priority] = kept
            else:
                del self._lines[priority]
        self._bands = sorted(self._lines)
