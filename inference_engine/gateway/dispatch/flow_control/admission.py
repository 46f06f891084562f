"""Which requests wait in which band: a full band makes room at the expense of the group with the most in it.

Owner comes before flow, as with turns, and flow before label: an owner that names more flows, or requests more labels, gets no
more room, and takes it only from itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from .limits import Limits
from .queues import Item, Whose
from .shares import BYTES, REQUESTS, Group, Measure

#: At most this many requests lose their place to a group that would have more than its share: that group may be rejected after
#: all, so the search for them has to end soon.
VICTIMS = 64


class FullError(Exception):
    """There is no place for a request, and none should be made for it."""


#: A group that has nothing yet.
NOBODY: Group[Item] = Group()


class Band(Group[Item]):
    """The waiting requests of one priority, over all labels: how many, their bytes, and whose they are."""

    __slots__ = ()

    def add(self, item: Item) -> None:
        """A request has come."""
        group = item.group = self.at(item.whose)
        group.items[item] = None
        group.gain(1, item.bytes)

    def remove(self, item: Item) -> None:
        """A request has gone."""
        del item.group.items[item]
        item.group.lose(1, item.bytes)

    def newest_of_most(self, whose: Whose) -> Item | None:
        """The newest request of the group with the most requests; None where a newcomer may not take its place."""
        giver = self._giver(whose, 1, REQUESTS)
        return None if giver is None else next(reversed(giver.items))

    def newest_of_heaviest(self, whose: Whose, size_bytes: int, bound: int) -> list[Item] | None:
        """The heaviest groups' newest requests, until a newcomer's bytes fit; None where they never do or too many go."""
        at_most = self.requests if self._is_share(whose, size_bytes, bound) else VICTIMS
        victims: list[Item] = []
        newest: dict[Group[Item], Iterator[Item]] = {}
        try:
            while self.bytes + size_bytes > bound:
                giver = self._giver(whose, size_bytes, BYTES)
                if giver is None or len(victims) == at_most:
                    return None
                items = newest.setdefault(giver, reversed(giver.items))
                victim = next(item for item in items if item.bytes)
                giver.lose(0, victim.bytes)
                victims.append(victim)
        finally:
            # This was a trial: the victims' bytes are restored.
            for victim in victims:
                victim.group.gain(0, victim.bytes)
        return victims

    def _giver(self, whose: Whose, amount: int, measure: Measure) -> Group[Item] | None:
        """The group that gives up its newest request for `amount` more of another; None where all have too little for that.

        On the first level where any group has more than the newcomer's would have, the largest group gives, and within it the
        largest part on each further level. What is taken on a lower level belongs to the newcomer's own group anyway.
        """
        for group, own in self._levels(whose):
            most = group.most(measure)
            if most is not None and measure(most) > measure(own) + amount:
                return most.largest(measure)
        return None

    def _is_share(self, whose: Whose, size_bytes: int, bound: int) -> bool:
        """Whether a newcomer's group would stay within its share of bytes on any level: then some other group always has more.

        Owners have equal shares of the bound, an owner's flows equal shares of the owner's, and a flow's labels of the flow's.
        """
        shares = 1
        for group, own in self._levels(whose):
            shares *= len(group.parts) + (not own.requests)
            if shares * (own.bytes + size_bytes) <= bound:
                return True
        return False

    def _levels(self, whose: Whose) -> Iterator[tuple[Group[Item], Group[Item]]]:
        """Level by level: the group whose parts are compared, and the newcomer's part of it, empty where it has none yet."""
        group: Group[Item] = self
        for name in whose:
            own = group.parts.get(name, NOBODY)
            yield group, own
            group = own


class WaitingBands(dict[int, Band]):
    """All bands that have requests, by priority, within their limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def band_for(self, priority: int) -> int:
        """The band of a request: its own, or the next lower one in use when there are enough. Raises FullError."""
        if priority in self or len(self) < self._limits.bands:
            return priority
        lower = [band for band in self if band < priority]
        if not lower:
            raise FullError(f"requests of {len(self)} priorities are already waiting, all of them above {priority}")
        return max(lower)

    def has_place(self, priority: int, size_bytes: int) -> bool:
        """Whether a request may wait without displacing another."""
        try:
            band = self.get(self.band_for(priority)) or Band()
        except FullError:
            return False
        return band.requests < self._limits.requests and band.bytes + size_bytes <= self._limits.bytes

    def victims(self, priority: int, whose: Whose, size_bytes: int) -> list[Item]:
        """The requests that have to leave a band so that another can wait there; none where there is a place. Raises FullError.

        Where both bounds are reached, a newcomer must have less than others of both. Otherwise a group with many requests and one
        with many bytes could take each other's places for ever. A request that gives up its bytes gives up its place too.
        """
        band = self.get(priority) or Band()
        newest = None
        if band.requests >= self._limits.requests:
            newest = band.newest_of_most(whose)
            if newest is None:
                raise FullError(
                    f"{band.requests} requests of priority {priority} are already waiting, the most allowed"
                )
        if band.bytes + size_bytes <= self._limits.bytes:
            return [newest] if newest is not None else []
        victims = band.newest_of_heaviest(whose, size_bytes, self._limits.bytes)
        if victims is None:
            raise FullError(
                f"waiting requests of priority {priority} take {band.bytes} bytes and leave no room for {size_bytes} more"
            )
        return victims

    def add(self, item: Item) -> None:
        """A request starts to wait."""
        band = self.get(item.priority)
        if band is None:
            band = self[item.priority] = Band()
        band.add(item)

    def remove(self, item: Item) -> None:
        """A request no longer waits; a band without requests is removed."""
        band = self[item.priority]
        band.remove(item)
        if not band.requests:
            del self[item.priority]
