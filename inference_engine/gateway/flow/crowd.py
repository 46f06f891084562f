"""Who waits in which band: a band that is full makes room at the expense of who has most in it.

Owner comes before flow, as with turns: whoever names more flows has no more room, and takes it only from itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from .limits import Limits
from .parties import BYTES, REQUESTS, Flow, Measure, Owner, Peers
from .queues import Item, Path

#: So many requests at most lose their place to one that would have more than its share: as that one may be refused after all,
#: looking for them has to end soon.
VICTIMS = 64


class FullError(Exception):
    """There is no place for a request, and none that should be made for it."""


class Band:
    """The requests of one priority that wait, over all labels: how many, their bytes, and whose they are."""

    __slots__ = ("_owners", "bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self._owners: Peers[Owner] = Peers()

    def add(self, item: Item) -> None:
        """A request has come."""
        name, flow_name = item.path
        owner = self._owners.get(name)
        if owner is None:
            owner = self._owners[name] = Owner()
        flow = owner.flows.get(flow_name)
        if flow is None:
            flow = owner.flows[flow_name] = Flow()
        flow.items[item] = None
        flow.requests += 1
        owner.requests += 1
        self.requests += 1
        self._weigh(item.path, item.bytes)

    def remove(self, item: Item) -> None:
        """A request has gone."""
        name, flow_name = item.path
        owner = self._owners[name]
        flow = owner.flows[flow_name]
        del flow.items[item]
        flow.requests -= 1
        flow.bytes -= item.bytes
        owner.requests -= 1
        owner.bytes -= item.bytes
        self.requests -= 1
        self.bytes -= item.bytes
        if not flow.requests:
            del owner.flows[flow_name]
            if not owner.requests:
                del self._owners[name]

    def newest_of_most(self, path: Path) -> Item | None:
        """The newest request of who has most of them, where a newcomer may take its place."""
        giver = self._giver(path, 1, REQUESTS)
        return None if giver is None else next(reversed(self._flow(giver).items))

    def newest_of_heaviest(self, path: Path, size_bytes: int, bound: int) -> list[Item] | None:
        """The newest requests of whoever has most bytes, one after another until a newcomer's fit; None where they never do."""
        at_most = self.requests if self._is_share(path, size_bytes, bound) else VICTIMS
        victims: list[Item] = []
        newest: dict[Path, Iterator[Item]] = {}
        try:
            while self.bytes + size_bytes > bound:
                giver = self._giver(path, size_bytes, BYTES)
                if giver is None or len(victims) == at_most:
                    return None
                items = newest.setdefault(giver, reversed(self._flow(giver).items))
                victim = next(item for item in items if item.bytes)
                self._weigh(giver, -victim.bytes)
                victims.append(victim)
        finally:
            # It was only looked what would become of it.
            for victim in victims:
                self._weigh(victim.path, victim.bytes)
        return victims

    def _giver(self, path: Path, amount: int, measure: Measure) -> Path | None:
        """The flow that has to give its newest for so much more of another; None where all have too little for that.

        It is the largest flow of the owner that has most, if that has more than the newcomer's would have; or else the largest of
        the newcomer's own owner, if that has more than the newcomer's flow would have: this takes nothing from anybody else.
        """
        richest, has = self._owners.most(measure)
        owner = self._owners.get(path[0])
        if has > amount + (measure(owner) if owner else 0):
            return richest, self._owners[richest].flows.most(measure)[0]
        if owner:
            largest, has = owner.flows.most(measure)
            flow = owner.flows.get(path[1])
            if has > amount + (measure(flow) if flow else 0):
                return path[0], largest
        return None

    def _is_share(self, path: Path, size_bytes: int, bound: int) -> bool:
        """Whether a newcomer's owner, or its flow, would have no more bytes than its share: then somebody always has more.

        Owners have equal shares of the bound, and an owner's flows have equal shares of its own.
        """
        owner = self._owners.get(path[0]) or Owner()
        flow = owner.flows.get(path[1]) or Flow()
        owners = len(self._owners) + (not owner.requests)
        flows = len(owner.flows) + (not flow.requests)
        return owners * min(owner.bytes + size_bytes, flows * (flow.bytes + size_bytes)) <= bound

    def _flow(self, path: Path) -> Flow:
        return self._owners[path[0]].flows[path[1]]

    def _weigh(self, path: Path, size_bytes: int) -> None:
        """A flow has so many bytes more, or less."""
        name, flow_name = path
        owner = self._owners[name]
        owner.flows[flow_name].bytes += size_bytes
        owner.bytes += size_bytes
        self.bytes += size_bytes
        self._owners.raised(name)
        owner.flows.raised(flow_name)


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

    def victims(self, priority: int, path: Path, size_bytes: int) -> list[Item]:
        """Which requests have to leave a band so that another one can wait there; none where there is a place. Raises FullError.

        Where both bounds are reached, a newcomer must have less than others of both: otherwise one who is rich in requests and
        one who is rich in bytes could take each other's places for ever. Whoever gives bytes gives its place too.
        """
        band = self.get(priority) or Band()
        newest = None
        if band.requests >= self._limits.requests:
            newest = band.newest_of_most(path)
            if newest is None:
                raise FullError(f"{band.requests} requests of priority {priority} wait already, and no more may")
        if band.bytes + size_bytes <= self._limits.bytes:
            return [newest] if newest is not None else []
        victims = band.newest_of_heaviest(path, size_bytes, self._limits.bytes)
        if victims is None:
            raise FullError(
                f"requests of priority {priority} with {band.bytes} bytes wait already, {size_bytes} more are too many"
            )
        return victims

    def add(self, item: Item) -> None:
        """A request waits."""
        self.setdefault(item.priority, Band()).add(item)

    def remove(self, item: Item) -> None:
        """A request does not wait any more; a band without any is gone."""
        band = self[item.priority]
        band.remove(item)
        if not band.requests:
            del self[item.priority]
