"""One call, shared by all who want its value at the same time; and one whose value is kept for callers that come soon after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import TransportError

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Flight(Generic[Value]):
    """A call under way and how many callers wait for it."""

    task: asyncio.Task[Value]
    waiting: int = 0


class SingleFlightGroup(Generic[Key, Value]):
    """At most one call under way for each key.

    A caller that arrives during its key's call waits for that one. The call belongs to all its callers: one that is cancelled
    does not end it. A call that no caller waits for any more continues, or is cancelled where `cancel_unwanted` says so. An error
    is raised to all waiting callers. Nothing is kept after the end.
    """

    def __init__(self, *, cancel_unwanted: bool = False) -> None:
        self._cancel_unwanted = cancel_unwanted
        self._flights: dict[Key, _Flight[Value]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: Key) -> bool:
        return key in self._flights

    async def get(self, key: Key, call: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """The outcome of the key's call under way, or of a new one.

        Raises what the call raises, and TransportError where `close` ends it.
        """
        flight = self._flight(key, call)
        flight.waiting += 1
        try:
            # Not awaited directly: a caller that is cancelled would cancel it for the others.
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if self._cancel_unwanted and not flight.waiting and not flight.task.done():
                # Forgotten at once: no other caller may join it any more.
                self._forget(key, flight)
                flight.task.cancel()
        if flight.task.cancelled():
            # By `close`: the caller's own task was not cancelled.
            raise TransportError("the connection to AWS is closed")
        return flight.task.result()

    def begin(self, key: Key, call: Callable[[], Coroutine[Any, Any, Value]]) -> asyncio.Task[Value]:
        """The key's call under way, or a new one. Other callers wait for it: do not cancel it, and wait for it only by
        `asyncio.wait`.
        """
        return self._flight(key, call).task

    async def close(self) -> None:
        """End all calls under way; callers that wait for them get TransportError."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _flight(self, key: Key, call: Callable[[], Coroutine[Any, Any, Value]]) -> _Flight[Value]:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.get_running_loop().create_task(call()))
            flight.task.add_done_callback(lambda _: self._ended(key, flight))
        return flight

    def _ended(self, key: Key, flight: _Flight[Value]) -> None:
        self._forget(key, flight)
        # The exception is retrieved even where nobody waits any more, or asyncio would log it.
        if not flight.task.cancelled():
            flight.task.exception()

    def _forget(self, key: Key, flight: _Flight[Value]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


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
        self._reading: SingleFlightGroup[None, Value] = SingleFlightGroup()

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
        return await self._reading.get(None, self._look_up)

    def begin(self) -> asyncio.Task[Value]:
        """The look-up in progress, or a new one. Other callers wait for it: do not cancel it, and wait for it only by
        `asyncio.wait`.
        """
        return self._reading.begin(None, self._look_up)

    async def close(self) -> None:
        """End the look-up in progress; callers that wait for it get TransportError."""
        await self._reading.close()

    async def _look_up(self) -> Value:
        value = await self._read()
        self.value, self._read_at = value, time.monotonic()
        return value
