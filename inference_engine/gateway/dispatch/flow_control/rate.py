"""How fast requests have been dispatched recently, and so when a rejected one may try again."""

from __future__ import annotations

#: Retry time of a rejected caller: at least, at most, and while the dispatch rate is unknown.
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS, RETRY_USUAL_SECONDS = 1.0, 60.0, 5.0
#: After this long without a measurement no label was in use, and the earlier rate says nothing about the present one.
QUIET_SECONDS = 2.0


class Rate:
    """Dispatches a second, from their counts at two times; `at` is the later one, on the controller's clock."""

    __slots__ = ("_count", "_per_second", "at")

    def __init__(self, now: float) -> None:
        self.at = now
        self._count = 0
        self._per_second = 0.0

    def measure(self, now: float, count: int) -> None:
        """Measure the rate; `count` is the number of dispatches up to now."""
        elapsed, gone = now - self.at, count - self._count
        self.at, self._count = now, count
        self._per_second = gone / elapsed if elapsed > 0 else 0.0

    def resume(self, now: float, count: int) -> None:
        """A label is in use; after a quiet time without measurements the rate is unknown."""
        if now - self.at > QUIET_SECONDS:
            self.at, self._count = now, count
            self._per_second = 0.0

    def retry_seconds(self, waiting: int) -> float:
        """About as long as the requests that wait now will take."""
        usual = waiting / self._per_second if self._per_second else RETRY_USUAL_SECONDS
        return min(RETRY_MAX_SECONDS, max(RETRY_MIN_SECONDS, usual))
