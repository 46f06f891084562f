"""HTTP/1.1 as uvicorn speaks it, with a time limit on the beginning of a request.

uvicorn closes connections that are idle between two requests, but waits for ever for the rest of a request line or a header,
and for the rest of a body whose request was answered before it was read. Bodies that are read are BodyLimit's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: From the connection, or the first byte after an answer, to the end of the request's headers.
HEAD_TIMEOUT_SECONDS = 10.0


class TimedProtocol(H11Protocol):
    """Closes a connection on which no request begins within HEAD_TIMEOUT_SECONDS of its first byte, or of connecting."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

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
