"""Virtual time: a clock that runs what is planned, and an event loop and a process that follow it instead of waiting."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import selectors
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: Unix time at which every simulation begins; windows of whole seconds begin with it.
EPOCH_SECONDS = 1_700_000_000.0
#: How long each step of an event loop takes: code that polls the clock must see time pass.
STEP_SECONDS = 1e-7


class DeadlockError(RuntimeError):
    """Every task waits for another: nothing is scheduled, so virtual time cannot advance."""


class Clock:
    """Runs what was planned, earliest first; at the same time, what was planned first. `now` is in seconds from the start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Plan one thing for the time `when`, which is not in the past."""
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

    def run_next(self, before: float = math.inf) -> None:
        """Let time pass up to the next planned thing and run it, or up to `before` if that comes first.

        Raises DeadlockError if that is never.
        """
        until = min(before, self._planned[0][0]) if self._planned else before
        if until == math.inf:
            raise DeadlockError("all tasks wait and nothing is scheduled")
        self.run(until)


class _VirtualSelector(selectors.SelectSelector):
    """Lets time pass instead of waiting; nothing outside the process is ever ready."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self._clock.run_next(math.inf if timeout is None else self._clock.now + max(timeout, STEP_SECONDS))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps to the next scheduled event. Nothing may come from other threads."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        super().__init__(_VirtualSelector(clock))

    def time(self) -> float:
        """Virtual seconds since the start of the clock."""
        return self._virtual.now


@contextmanager
def clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """Meanwhile `time.time()` and `time.monotonic()` of the whole process follow the loop."""
    with mock.patch.multiple(time, time=lambda: EPOCH_SECONDS + loop.time(), monotonic=loop.time):
        yield


@contextmanager
def repeatable_ids(seed: int) -> Iterator[None]:
    """Meanwhile `uuid.uuid4()` of the whole process gives the same ids for the same seed."""
    bits = random.Random(seed)

    def uuid4() -> uuid.UUID:
        return uuid.UUID(int=bits.getrandbits(128), version=4)

    with mock.patch.object(uuid, "uuid4", uuid4):
        yield


def run(main: Coroutine[Any, Any, Result], *, seed: int = 0, clock: Clock | None = None) -> Result:
    """The result of `main` on a virtual clock, a new one by default; tasks that still run after it are cancelled.

    What is planned on the clock runs between the tasks. Raises DeadlockError where real time would hang.
    """
    loop = VirtualLoop(clock or Clock())
    with clocks_of(loop), repeatable_ids(seed), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
