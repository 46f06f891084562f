"""Virtual time: what is to happen, in its order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """Runs what was planned, earliest first; what was planned first where times are the same. Seconds from midnight."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Plan one thing."""
        heapq.heappush(self._planned, (when, next(self._order), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Plan one thing, from now on."""
        self.at(self.now + seconds, what)

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        """Plan one thing again and again, the first time in so many seconds."""

        def again() -> None:
            what()
            self.after(seconds, again)

        self.after(seconds, again)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, what = heapq.heappop(self._planned)
            what()
        self.now = until
