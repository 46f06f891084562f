"""uvicorn's HTTP/1.1 with time limits on the beginning of a request and on its answer, and a limit on connections.

uvicorn closes connections that are idle between two requests. It waits for ever for the rest of a request line or a header,
and for the rest of a body whose request was answered before the body was read. (BodyLimit limits bodies that are read.) uvicorn
counts an answer as sent once it is in the connection's buffer, and closes no connection before its buffer is empty: where the
caller does not read, both stay for ever. Its own limit on connections rejects requests on existing connections instead of new
connections.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

#: From the connection, or the first byte after an answer, to the end of the request's headers.
HEAD_TIMEOUT_SECONDS = 10.0
#: How long a caller may take nothing of an answer. The kernel takes more once a third of its own buffer, some megabytes at most,
#: was read, so a caller that reads 25 kB/s is not cut off.
WRITE_TIMEOUT_SECONDS = 60.0
#: Rejected connections are logged at most this often.
TOLD_EVERY_SECONDS = 10.0


class TimedProtocol(H11Protocol):
    """Closes a connection on which no request begins within HEAD_TIMEOUT_SECONDS of its first byte, or of connecting.

    Closes connections beyond `max_connections` at once, and those on which no caller was admitted after `stranger_seconds` of
    rest. Aborts a connection whose caller takes nothing of an answer for WRITE_TIMEOUT_SECONDS, between once and twice that time
    after something was last taken.
    """

    max_connections: ClassVar[int] = sys.maxsize
    #: None: all connections may rest equally long.
    stranger_seconds: ClassVar[int | None] = None
    _told_at: ClassVar[float] = -TOLD_EVERY_SECONDS

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _let_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._tell()
            transport.abort()
            return
        # The transport then reports every byte that the kernel does not take at once, and when the kernel has taken all.
        transport.set_write_buffer_limits(high=0)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()
        self._unwatch_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unwatch_writing()

    def on_response_complete(self) -> None:
        # KeyGuard leaves there the caller that it admits.
        self._let_in = self._let_in or "caller" in self.scope["state"]
        if self.stranger_seconds is not None:
            self.timeout_keep_alive = self.config.timeout_keep_alive if self._let_in else self.stranger_seconds
        super().on_response_complete()

    def cut_off(self) -> None:
        """Close at once where an answer has begun; where none has, its request may still get one."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_started:
            self.transport.abort()

    @classmethod
    def _tell(cls) -> None:
        """Log that connections are rejected, once in a while."""
        now = time.monotonic()
        if now - cls._told_at >= TOLD_EVERY_SECONDS:
            cls._told_at = now
            log.warning("connections are refused: %d are open (max_connections)", cls.max_connections)

    def _watch(self) -> None:
        """Start the time limit while no request is under way; further bytes do not restart it."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._unwatch()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.close)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_writing(self) -> None:
        """Check in a while whether any of the pending output was taken, even where nothing else is waited for any more."""
        unsent_bytes = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(WRITE_TIMEOUT_SECONDS, self._look_at_writing, unsent_bytes)

    def _look_at_writing(self, unsent_bytes: int) -> None:
        if self.transport.get_write_buffer_size() < unsent_bytes:
            self._watch_writing()
            return
        log.debug("a caller has stopped reading its response, with %d bytes unsent", unsent_bytes)
        self.transport.abort()

    def _unwatch_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def limited(connections: int, strangers_seconds: int | None) -> type[TimedProtocol]:
    """The protocol of one server, with its own limits."""

    class Limited(TimedProtocol):
        max_connections = connections
        stranger_seconds = strangers_seconds

    return Limited
