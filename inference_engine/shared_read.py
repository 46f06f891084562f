"""One look-up for all who ask at once, and for who asks soon after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from .errors import TransportError

Value = TypeVar("Value")


class SharedRead(Generic[Value]):
    """What a look-up told last, and the one look-up that is under way.

    Who asks while one is under way waits for that one. It belongs to all who wait: a caller who leaves does not end it, and what
    it tells is there for the next one. One that fails is raised to all who wait for it and is not kept; the value before it is.
    `close` ends it.
    """

    def __init__(self, read: Callable[[], Coroutine[Any, Any, Value]]) -> None:
        #: What was read last; None before the first time.
        self.value: Value | None = None
        self._read = read
        self._read_at = -math.inf
        self._reading: asyncio.Task[Value] | None = None

    @property
    def age_seconds(self) -> float:
        """How long ago the last good look-up ended; infinite before the first one."""
        return time.monotonic() - self._read_at

    async def get(self, seconds: float) -> Value:
        """The last value where it is younger than so many seconds, else a new one.

        Raises what the look-up raises, and TransportError where `close` ends it.
        """
        if self.age_seconds < seconds:
            return self.value  # type: ignore[return-value]  # there is one: it has an age
        reading = self.begin()
        # Not awaited itself, or a caller who leaves would take it from the others.
        await asyncio.wait([reading])
        if reading.cancelled():
            # By `close`: nobody has cancelled the task of who asks.
            raise TransportError("the connection to AWS is closed")
        return reading.result()

    def begin(self) -> asyncio.Task[Value]:
        """The look-up that is under way, a new one where there is none. Others wait for it: not to be cancelled or awaited
        but by `asyncio.wait`.
        """
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._ended)
        return self._reading

    async def close(self) -> None:
        """End the look-up that is under way; who waits for it gets TransportError."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _ended(self, reading: asyncio.Task[Value]) -> None:
        self._reading = None
        # Asked for also where nobody waits any more.
        if not reading.cancelled() and reading.exception() is None:
            self.value = reading.result()
            self._read_at = time.monotonic()
