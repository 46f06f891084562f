"""Who waits in which band, and by whose requests: a band that is full makes room at the expense of who has most in it."""

from __future__ import annotations

from collections import OrderedDict

from .limits import Limits
from .queues import Item, Path


class FullError(Exception):
    """There is no place for a request, and none that should be made for it."""


class Band:
    """The requests of one priority that wait, over all labels: how many, their bytes, and whose they are."""

    __slots__ = ("_by_count", "_parties", "bytes", "most", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        #: Requests of the party that has most.
        self.most = 0
        self._parties: dict[Path, OrderedDict[Item, None]] = {}
        self._by_count: dict[int, OrderedDict[Path, None]] = {}

    def add(self, item: Item) -> None:
        """A request has come."""
        self.requests += 1
        self.bytes += item.bytes
        party = self._parties.get(item.path)
        if party is None:
            party = self._parties[item.path] = OrderedDict()
        party[item] = None
        self._moved(item.path, len(party) - 1, len(party))
        self.most = max(self.most, len(party))

    def remove(self, item: Item) -> None:
        """A request has gone."""
        self.requests -= 1
        self.bytes -= item.bytes
        party = self._parties[item.path]
        del party[item]
        self._moved(item.path, len(party) + 1, len(party))
        if self.most not in self._by_count:
            # Nobody has as many as the one did who has one less now.
            self.most -= 1
        if not party:
            del self._parties[item.path]

    def of(self, path: Path) -> int:
        """Requests of a party."""
        return len(self._parties.get(path, ()))

    def newest_of_most(self) -> Item:
        """The last request that came of the party that has most; there is one."""
        path = next(iter(self._by_count[self.most]))
        return next(reversed(self._parties[path]))

    def _moved(self, path: Path, before: int, after: int) -> None:
        if before:
            peers = self._by_count[before]
            del peers[path]
            if not peers:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, OrderedDict())[path] = None


class Crowd(dict[int, Band]):
    """All bands that have requests, by priority, within their limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def band_for(self, priority: int) -> int:
        """The band that a request waits in: its own, or the next lower one in use when there are enough. Raises FullError."""
        if priority in self or len(self) < self._limits.bands:
            return priority
        lower = [band for band in self if band < priority]
        if not lower:
            raise FullError(f"requests of {len(self)} priorities wait already, all of them above {priority}")
        return max(lower)

    def victim(self, priority: int, path: Path, size_bytes: int) -> Item | None:
        """Which request has to leave a band so that another one can wait there; None where there is a place. Raises FullError."""
        band = self.get(priority)
        requests, size = (band.requests, band.bytes) if band else (0, 0)
        if size + size_bytes > self._limits.bytes:
            raise FullError(
                f"requests of priority {priority} with {size} bytes wait already, {size_bytes} more are too many"
            )
        if requests < self._limits.requests:
            return None
        if band is None or band.of(path) + 1 >= band.most:
            raise FullError(f"{requests} requests of priority {priority} wait already, and no more may")
        return band.newest_of_most()

    def add(self, item: Item) -> None:
        """A request waits."""
        self.setdefault(item.priority, Band()).add(item)

    def remove(self, item: Item) -> None:
        """A request does not wait any more; a band without any is gone."""
        band = self[item.priority]
        band.remove(item)
        if not band.requests:
            del self[item.priority]
