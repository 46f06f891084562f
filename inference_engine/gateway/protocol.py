"""HTTP/1.1 as uvicorn speaks it, with a time limit on the beginning of a request, and a limit on connections.

uvicorn closes connections that are idle between two requests, but waits for ever for the rest of a request line or a header,
and for the rest of a body whose request was answered before it was read. Bodies that are read are BodyLimit's. Its own limit
on connections refuses requests on those that are there already, in the place of new ones.
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
#: Refused connections are logged this often.
TOLD_EVERY_SECONDS = 10.0


class TimedProtocol(H11Protocol):
    """Closes a connection on which no request begins within HEAD_TIMEOUT_SECONDS of its first byte, or of connecting.

    Closes those beyond `max_connections` at once, and after `stranger_seconds` of rest those of nobody who was let in.
    """

    max_connections: ClassVar[int] = sys.maxsize
    #: None: all connections may rest equally long.
    stranger_seconds: ClassVar[int | None] = None
    _told_at: ClassVar[float] = -TOLD_EVERY_SECONDS

    _deadline: asyncio.TimerHandle | None = None
    _let_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._tell()
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def on_response_complete(self) -> None:
        # KeyGuard leaves there whom it lets in.
        self._let_in = self._let_in or "caller" in self.scope["state"]
        if self.stranger_seconds is not None:
            self.timeout_keep_alive = self.config.timeout_keep_alive if self._let_in else self.stranger_seconds
        super().on_response_complete()

    @classmethod
    def _tell(cls) -> None:
        """Say that connections are refused, once in a while."""
        now = time.monotonic()
        if now - cls._told_at >= TOLD_EVERY_SECONDS:
            cls._told_at = now
            log.warning("connections are refused: %d are open (max_connections)", cls.max_connections)

    def _watch(self) -> None:
        """Set the time while no request is under way; a byte more does not set it anew."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._unwatch()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.close)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited(connections: int, strangers_seconds: int | None) -> type[TimedProtocol]:
    """The protocol of one server, with its own limits."""

    class Limited(TimedProtocol):
        max_connections = connections
        stranger_seconds = strangers_seconds

    return Limited
