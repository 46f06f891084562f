"""For every request: an id, the headers that all responses have, its counts, one record in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...api_keys import KEY_PATTERN
from .paths import HEALTH_PATHS

log = logging.getLogger(__name__)

#: The status that nginx logs for a caller that left before there was an answer; not an HTTP status code.
CLIENT_LEFT = 499
#: Requested every few seconds by monitoring.
WATCHED_PATHS = frozenset({*HEALTH_PATHS, "/metrics"})
#: A caller's own request id goes into logs and headers: short, printable, without spaces.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
#: How much of a path that matched no route is logged.
PATH_MAX_CHARACTERS = 200


class RequestCounts(Protocol):
    """Where requests are counted, by the template of their route; empty where no route matched."""

    def answered(self, route: str, status: int) -> None:
        """An answer with this status code has begun."""

    def ended(self, route: str, seconds: float) -> None:
        """A request that was answered is over, this long after its headers."""


class AccessLog:
    """Around each request: an id, the headers that all responses have, its counts, and one record in the log when it is over.

    The id is the caller's own if it is fit for logs. The record says who, what, how it ended, how long it took: no header, no
    query, no body. Routes add to it by `request.state`: `key_id`, `label`.
    """

    def __init__(self, app: ASGIApp, counts: RequestCounts | None = None) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(scope, receive, send, self._counts)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.left = not exchange.status
            raise
        except Exception:
            exchange.status = exchange.status or 500
            raise
        finally:
            exchange.end()


class _Exchange:
    """One request as seen from outside the app."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, counts: RequestCounts | None) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._counts = counts
        self._began = time.perf_counter()
        self._bytes_in = 0
        self._bytes_out = 0
        self._answered = False
        self.status = 0
        #: Whether the caller left before there was an answer.
        self.left = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes_in += len(message.get("body", b""))
        if message["type"] == "http.disconnect" and not self.status:
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        self._bytes_out += len(message.get("body", b""))
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        self.status = message["status"]
        headers = MutableHeaders(scope=message)
        headers["X-Request-Id"] = self._scope["state"]["request_id"]
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
        self._answered = True
        if self._counts is not None:
            self._counts.answered(route_of(self._scope), self.status)

    def end(self) -> None:
        if self._answered and self._counts is not None:
            self._counts.ended(route_of(self._scope), time.perf_counter() - self._began)
        level = logging.DEBUG if self._scope["path"] in WATCHED_PATHS else logging.INFO
        if log.isEnabledFor(level):
            fields = self._fields()
            log.log(level, "%s %s %d", fields["method"], fields["route"], fields["status"], extra=fields)

    def _fields(self) -> dict[str, Any]:
        state = self._scope.get("state", {})
        client = self._scope.get("client")
        fields = {
            "method": self._scope["method"],
            "route": route_of(self._scope) or _beginning(self._scope),
            "status": CLIENT_LEFT if self.left else self.status,
            "duration_ms": round((time.perf_counter() - self._began) * 1000, 1),
            "request_id": state.get("request_id", ""),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
            "client": client[0] if client else "",
        }
        return fields | {name: state[name] for name in ("key_id", "label") if state.get(name)}


def route_of(scope: Scope) -> str:
    """The template of a request's route, which no caller chooses; empty where no route matched."""
    return str(getattr(scope.get("route"), "path", ""))


def _beginning(scope: Scope) -> str:
    """The beginning of a path, as it was sent, without keys."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace")
    text = KEY_PATTERN.sub(r"ie_\1_…", raw.decode("ascii", "backslashreplace"))
    return text if len(text) <= PATH_MAX_CHARACTERS else text[: PATH_MAX_CHARACTERS - 1] + "…"
