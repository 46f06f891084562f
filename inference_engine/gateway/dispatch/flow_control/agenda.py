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
