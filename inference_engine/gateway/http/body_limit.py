"""Limits of request bodies: of one body's size and time, and of the bytes of all bodies that a process holds at once.

Plain ASGI, so that streams stay streams.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import Problem, later

log = logging.getLogger(__name__)

#: How long the gateway keeps reading after it has rejected a caller in the middle of a body: a caller that sends everything
#: before it reads would otherwise find a broken connection instead of the answer.
LINGER_SECONDS = 2.0

#: How many digits of a Content-Length are read: no limit has more, and Python refuses to convert thousands.
LENGTH_DIGITS = 20


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


#: Bodies of callers that do not wait are released within a second or so.
BUSY_RETRY_SECONDS = 2.0


class Budget:
    """`max_bytes` for the bodies of all requests that are not answered yet, and of jobs that are not posted yet."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def room_for(self, size_bytes: int) -> bool:
        """Whether this many bytes more may be held."""
        return self.held_bytes + size_bytes <= self.max_bytes


class Share:
    """One request body's share of the budget, held until its request is over and its job has been posted.

    A job is still posted when its caller has left meanwhile.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self._posting = False
        self._over = False

    def check(self, size_bytes: int) -> None:
        """Raises Problem 503 where there is no room for a total of `size_bytes`."""
        if not self._budget.room_for(size_bytes - self.held_bytes):
            raise busy(self._budget.max_bytes)

    def grow(self, size_bytes: int) -> None:
        """Hold a total of `size_bytes`, unless it is more already. Raises Problem 503, and then holds what it held."""
        self.check(size_bytes)
        more = max(0, size_bytes - self.held_bytes)
        self.held_bytes += more
        self._budget.held_bytes += more

    def posting(self) -> None:
        """Mark that a job with this body is about to be posted."""
        self._posting = True

    def posted(self) -> None:
        """Mark that the body is no longer held for posting; a second call does nothing."""
        self._posting = False
        self._give_back()

    def release(self) -> None:
        """Mark that the request is over."""
        self._over = True
        self._give_back()

    def _give_back(self) -> None:
        if self._over and not self._posting:
            self._budget.held_bytes -= self.held_bytes
            self.held_bytes = 0


def busy(max_bytes: int) -> Problem:
    """Problem 503: other requests' bodies leave no room."""
    detail = (
        f"no room for this body: the bodies of unanswered requests may take {max_bytes} bytes in all (bodies_max_bytes)"
    )
    return later(503, "busy", detail, BUSY_RETRY_SECONDS)


def unbounded() -> Share:
    """A share of a budget with room for everything, for requests that no BodyLimit has seen."""
    return Share(Budget(sys.maxsize))


def share_of(request: HTTPConnection) -> Share:
    """A request body's share of the budget."""
    share: Share | None = getattr(request.state, "body_share", None)
    return unbounded() if share is None else share


def hold(request: HTTPConnection, size_bytes: int) -> None:
    """Count a request's body at its unpacked size. Raises Problem 503."""
    share_of(request).grow(size_bytes)
