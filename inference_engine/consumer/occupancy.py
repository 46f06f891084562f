"""Divides a consumer's time among the jobs that it computes concurrently.

Twenty jobs that Triton computes together in a second take a second each, and a twentieth of a second of the consumer. Only the
latter says how much work a backlog is. It is the job's share of time: while n jobs are computed, each is charged 1/n.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: "Recent" covers the last one to two of these windows (seconds): long enough to change slowly; older work no longer counts.
RECENT_SECONDS = 200.0


@dataclass(slots=True)
class Spell:
    """The computation of one job: how long it took, and its share of the consumer's time; seconds, 0 until it is over."""

    seconds: float = 0.0
    share: float = 0.0


class Occupancy:
    """All computations of one consumer; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock = clock
        self._computing = 0
        self._at = 0.0
        # The total charge to a hypothetical job computed all along beside the others. A job's share is a difference of this.
        self._charged = 0.0

    @contextmanager
    def spell(self) -> Iterator[Spell]:
        """Measure a job that is computed inside the block."""
        spell = Spell()
        began = self._advance(+1)
        charged = self._charged
        try:
            yield spell
        finally:
            spell.seconds = self._advance(-1) - began
            spell.share = self._charged - charged

    def _advance(self, change: int) -> float:
        now = self._clock()
        if self._computing:
            self._charged += (now - self._at) / self._computing
        self._at = now
        self._computing += change
        return now


class Recent:
    """How much of the consumer's recent time some jobs took."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock = clock
        self._since = clock()
        self._before = self._now = 0.0

    def add(self, seconds: float) -> None:
        """Charge seconds of the consumer's time."""
        self._move()
        self._now += seconds

    def rate(self) -> float:
        """Seconds of the consumer's time per second, at most 1; exactly 0 after a while without work."""
        self._move()
        # A job is charged when it ends: all of a long job's time is charged at once.
        return min(1.0, (self._before + self._now) / (RECENT_SECONDS + self._clock() - self._since))

    def _move(self) -> None:
        passed = (self._clock() - self._since) // RECENT_SECONDS
        if passed:
            self._before, self._now = (self._now if passed == 1 else 0.0), 0.0
            self._since += passed * RECENT_SECONDS
