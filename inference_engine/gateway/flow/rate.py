"""How fast requests go of late, and so when one that was refused may try again."""

from __future__ import annotations

#: What a refused caller is told to wait, at least, at most, and where it is not known how fast requests go.
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS, RETRY_USUAL_SECONDS = 1.0, 60.0, 5.0
#: After so long without a measurement nothing was in use, and what went before tells nothing of what goes now.
QUIET_SECONDS = 2.0


class Rate:
    """Dispatches a second, from how many there have been at two times; `at` is the later one, on the controller's clock."""

    __slots__ = ("_count", "_per_second", "at")

    def __init__(self, now: float) -> None:
        self.at = now
        self._count = 0
        self._per_second = 0.0

    def measure(self, now: float, count: int) -> None:
        """There have been so many dispatches up to now."""
        elapsed, gone = now - self.at, count - self._count
        self.at, self._count = now, count
        self._per_second = gone / elapsed if elapsed > 0 else 0.0

    def wake(self, now: float, count: int) -> None:
        """Something is in use; after a quiet time, in which nobody has measured, it is not known yet how fast it goes."""
        if now - self.at > QUIET_SECONDS:
            self.at, self._count = now, count
            self._per_second = 0.0

    def retry_seconds(self, waiting: int) -> float:
        """About as long as what waits now will take."""
        usual = waiting / self._per_second if self._per_second else RETRY_USUAL_SECONDS
        return min(RETRY_MAX_SECONDS, max(RETRY_MIN_SECONDS, usual))
