"""What every request passes before its route: body limits, the guard of gateways without keys, load balancers' addresses.

`guarded` puts all of them around an app.

Plain ASGI, so that streams stay streams.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..apis.metrics import Metered
from ..auth.access import Access, KeyGuard
from ..settings import GatewaySettings
from .access_log import AccessLog, ApiHeaders
from .budget import Budget, Share
from .problems import Problem

log = logging.getLogger(__name__)

#: How long the gateway keeps reading after it has rejected a caller in the middle of a body: a caller that sends everything
#: before it reads would otherwise find a broken connection instead of the answer.
LINGER_SECONDS = 2.0

#: How many digits of a Content-Length are read: no limit has more, and Python refuses to convert thousands.
LENGTH_DIGITS = 20

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_FORWARDED = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?|([0-9a-f:.]+)", re.IGNORECASE)


def guarded(app: Starlette, settings: GatewaySettings, access: Access) -> ASGIApp:
    """An app behind all guards; the outermost sees a request first. Counts in the app's `state.metrics`, if it has any.

    The guards go around the whole app, not among its own middleware: answers to unexpected errors pass through them as well.
    """
    budget = Budget(settings.bodies_max_bytes)
    around: ASGIApp = BodyLimit(app, settings.body_max_bytes, settings.body_timeout_seconds, budget)
    around = KeyGuard(around, access)
    if not access.required:
        around = LoopbackGuard(around)
    around = AccessLog(ApiHeaders(around))
    if metrics := getattr(app.state, "metrics", None):
        around = Metered(around, metrics)
    return ForwardedAddress(around) if settings.trust_proxy else around


# --- bodies --------------------------------------------------------------------------------------------------------------


class BodyLimit:
    """Rejects bodies of more than `max_bytes` with 413, and bodies that take more than `timeout_seconds` of waiting with 408.

    Bodies that the budget has no room for get 503. The bytes read of a body count until its request is answered. Declared
    bytes do not count; otherwise callers that declare much and send nothing would keep others out.

    `request.state.body_bytes` is the size of the body: the bytes read, or the declared length where that is greater.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_seconds: float, budget: Budget) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")[:LENGTH_DIGITS]
        declared = int(length) if length.isdecimal() else 0
        share = Share(self._budget)
        state = scope.setdefault("state", {})
        state.update(body_bytes=declared, body_share=share)
        body = _Body(receive, send, self._max_bytes, self._timeout_seconds, state)
        try:
            if not body.refuse_size(declared):
                await self._run(scope, body)
        finally:
            share.release()
        if body.refusal is not None and not body.started:
            await _refuse(scope, receive, send, body.refusal, linger="expect" not in headers)

    async def _run(self, scope: Scope, body: _Body) -> None:
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            # An app whose body is cut off may fail in any way: the caller gets the reason for the rejection.
            if body.refusal is None or body.started:
                raise


class _Body:
    """The body of one request, as the app reads it until it is rejected."""

    def __init__(
        self, receive: Receive, send: Send, max_bytes: int, timeout_seconds: float, state: dict[str, Any]
    ) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._state = state
        self._bytes = 0
        self._waited_seconds = 0.0
        self._complete = False
        self.refusal: Problem | None = None
        #: Whether the app has begun to answer, so that no other answer is possible.
        self.started = False

    async def receive(self) -> Message:
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        if self._complete:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._timeout_seconds - self._waited_seconds)):
                message = await self._receive()
        except TimeoutError:
            detail = f"the request's body did not arrive within {self._timeout_seconds:g} s"
            return self._refuse(Problem(408, "body-timeout", detail))
        # Only time that the gateway waits for the caller counts, not what the app does between two reads.
        self._waited_seconds += time.monotonic() - began
        self._bytes += len(message.get("body", b""))
        self._state["body_bytes"] = max(self._bytes, self._state["body_bytes"])
        self._complete = not message.get("more_body", False)
        if refused := self.refuse_size(self._bytes):
            return refused
        self._state["body_share"].grow(self._bytes)
        return message

    async def send(self, message: Message) -> None:
        """Pass on the app's answer; drop it once the body was rejected, since the rejection is the answer."""
        if self.refusal is None or self.started:
            self.started = True
            await self._send(message)

    def refuse_size(self, size_bytes: int) -> Message | None:
        """Reject a body of this size where it is too large, alone or together with all others."""
        if size_bytes > self._max_bytes:
            detail = f"the request's body is larger than {self._max_bytes} bytes (body_max_bytes)"
            return self._refuse(Problem(413, "too-large", detail))
        try:
            self._state["body_share"].check(size_bytes)
        except Problem as problem:
            return self._refuse(problem)
        return None

    def _refuse(self, problem: Problem) -> Message:
        """The message that the app gets instead of the rest of the body: as if its caller had left."""
        self.refusal = problem
        return {"type": "http.disconnect"}


async def _refuse(scope: Scope, receive: Receive, send: Send, problem: Problem, *, linger: bool) -> None:
    """Answer and close the connection, since what remains on it is a body that nothing will read."""
    problem.headers["Connection"] = "close"

    async def send_but_stay(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await problem.response()(scope, receive, send_but_stay)
    if linger and problem.status != 408:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await _discard(receive)
        except TimeoutError:
            log.debug("a caller kept sending a rejected body for more than %g s", LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass


# --- gateways without keys -----------------------------------------------------------------------------------------------


class LoopbackGuard:
    """Keeps web pages away from a gateway without keys: any page in a browser on this machine can send it requests.

    A page whose own host name resolves to 127.0.0.1 sends that name as Host; requests from pages of other origins say so in
    Sec-Fetch-Site (Fetch Metadata Request Headers) and Origin. Both are rejected with 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _foreign(Headers(scope=scope))):
            problem = Problem(403, "not-from-this-machine", refusal)
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _foreign(headers: Headers) -> str | None:
    """Why a request may come from another site's page; None where it does not."""
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not names_loopback(host):
        return f"host {host[:100]!r} does not name this machine: without API keys, use http://127.0.0.1 or http://localhost"
    if headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        return "without API keys, pages of other sites may not send requests here"
    same = (f"http://{host}".lower(), f"https://{host}".lower())
    if any(origin.lower() not in same for origin in headers.getlist("origin")):
        return "without API keys, pages of other origins may not send requests here"
    return None


def names_loopback(authority: str) -> bool:
    """Whether a Host header names loopback: 127.0.0.0/8, ::1 or localhost, with any port."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return False
    host = match[1].lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


# --- gateways behind a load balancer -------------------------------------------------------------------------------------


class ForwardedAddress:
    """Takes the caller's address from the end of X-Forwarded-For, where the load balancer in front has put it.

    Earlier addresses are only the caller's claim. The connection's address stays where the last entry is no IP address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
            if address := _address(forwarded.rpartition(",")[2].strip()):
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)


def _address(text: str) -> str | None:
    """The IP address in `address`, `address:port` (IPv4) or `[address]:port`; None where there is none."""
    match = _FORWARDED.fullmatch(text)
    try:
        return str(ipaddress.ip_address(match[match.lastindex or 0])) if match else None
    except ValueError:
        return None
