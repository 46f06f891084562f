"""One look-up, shared by concurrent callers and by those that call soon after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import TransportError

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """The value of the last look-up, and the look-up in progress, if any.

    A caller that arrives during a look-up waits for that one. The look-up belongs to all its callers: one that is cancelled
    does not end it, and its value is there for the next caller. An error is raised to all waiting callers and is not kept; the
    previous value is. `close` ends the look-up.
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
        """The last value where it is younger than `seconds`, else a new one.

        Raises what the look-up raises, and TransportError where `close` ends it.
        """
        if self.age_seconds < seconds:
            return self.value  # type: ignore[return-value]  # there is one: it has an age
        reading = self.begin()
        # Not awaited directly: a caller that is cancelled would cancel it for the others.
        await asyncio.wait([reading])
        if reading.cancelled():
            # By `close`: the caller's own task was not cancelled.
            raise TransportError("the connection to AWS is closed")
        return reading.result()

    def begin(self) -> asyncio.Task[Value]:
        """The look-up in progress, or a new one. Other callers wait for it: do not cancel it, and wait for it only by
        `asyncio.wait`.
        """
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._ended)
        return self._reading

    async def close(self) -> None:
        """End the look-up in progress; callers that wait for it get TransportError."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _ended(self, reading: asyncio.Task[Value]) -> None:
        self._reading = None
        # The exception is retrieved even where nobody waits any more, or asyncio would log it.
        if not reading.cancelled() and reading.exception() is None:
            self.value = reading.result()
            self._read_at = time.monotonic()
