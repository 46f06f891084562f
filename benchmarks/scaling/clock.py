"""Virtual time: runs what is planned, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """Runs what was planned, earliest first; at the same time, what was planned first. Seconds from midnight."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Plan one thing for the time `when`."""
        heapq.heappush(self._planned, (when, next(self._order), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Plan one thing, `seconds` from now."""
        self.at(self.now + seconds, what)

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        """Repeat one thing every `seconds`, the first time `seconds` from now."""

        def again() -> None:
            what()
            self.after(seconds, again)

        self.after(seconds, again)

    def run(self, until: float) -> None:
        """Let time pass up to `until`."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, what = heapq.heappop(self._planned)
            what()
        self.now = until
