"""The reference for label misses: one LRU cache with all slots of the fleet, on the same arrivals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


def lru_misses(trace: Iterable[str], slots: int) -> int:
    """Loads that one cache of `slots` labels needs for `trace` (labels in the order of their arrival).

    It holds every model in one place and sees every arrival at once, which no fleet does.
    """
    held: OrderedDict[str, None] = OrderedDict()
    misses = 0
    for label in trace:
        if label in held:
            held.move_to_end(label)
            continue
        misses += 1
        if len(held) >= slots:
            held.popitem(last=False)
        held[label] = None
    return misses
