"""When to check which request again: buckets of one second, from which a request that ends sooner is removed in constant time."""

from __future__ import annotations

from collections.abc import Iterator

from .queues import Item


class CheckTimes:
    """Requests by the second in which they may have waited too long."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[int, set[Item]] = {}

    def put(self, item: Item, at: float) -> None:
        """Check a request within the second of `at`, and not when it was planned before."""
        self.remove(item)
        item.due = int(at)
        self._seconds.setdefault(item.due, set()).add(item)

    def remove(self, item: Item) -> None:
        """Do not check a request any more."""
        items = self._seconds.get(item.due)
        if items is not None:
            items.discard(item)
            if not items:
                del self._seconds[item.due]

    def until(self, now: float) -> list[Item]:
        """Requests whose second has begun."""
        return [item for second, items in self._seconds.items() if second <= now for item in items]

    def __iter__(self) -> Iterator[Item]:
        return (item for items in self._seconds.values() for item in items)

    def __bool__(self) -> bool:
        return bool(self._seconds)


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
