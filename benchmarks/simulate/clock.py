"""Virtual time: an event loop that never waits, and a process whose clocks follow it."""

from __future__ import annotations

import asyncio
import random
import selectors
import time
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")

#: Unix time at which every simulation begins; windows of whole seconds begin with it.
EPOCH_SECONDS = 1_700_000_000.0
#: How long each turn of the loop takes: code that polls the clock must see time pass.
TURN_SECONDS = 1e-7


class DeadlockError(RuntimeError):
    """Every task waits for another: nothing is scheduled, so virtual time cannot advance."""


class _VirtualSelector(selectors.SelectSelector):
    """Lets time pass instead of waiting; nothing outside the process is ever ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("all tasks wait and nothing is scheduled")
        self.now += max(timeout, TURN_SECONDS)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps to the next scheduled event. Nothing may come from other threads."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
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


def run(main: Coroutine[Any, Any, Result], *, seed: int = 0) -> Result:
    """The result of `main` on a virtual clock; tasks that still run after it are cancelled.

    Raises DeadlockError where real time would hang.
    """
    loop = VirtualLoop()
    with clocks_of(loop), repeatable_ids(seed), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
