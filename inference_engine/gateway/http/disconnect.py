"""A caller that hangs up ends its request: nothing is computed, or waited for, without a caller."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import later


class CancelOnDisconnect:
    """Cancels a request's handler when the client has left; there is no response then.

    ASGI servers report a disconnect only to an app that calls `receive`: once the body is complete, this class keeps calling it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application beside a watch on the connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = _Connection(receive)
        handler = asyncio.ensure_future(self._app(scope, connection.receive, connection.sending(send)))
        watch = asyncio.create_task(connection.gone())
        try:
            await asyncio.wait((handler, watch), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The server ends, and has given its requests all the time there was.
            await _end(handler)
            if connection.answered:
                raise
            await _ENDED.response()(scope, receive, send)
            return
        finally:
            watch.cancel()
            await _end(handler)
        if not handler.cancelled():
            handler.result()


#: The answer to a caller whose request is cut off by the end of the server.
_ENDED = later(503, "shutting-down", "the gateway shut down before it could answer", 1)


async def _end(handler: asyncio.Future[None]) -> None:
    if not handler.done():
        handler.cancel()
        await asyncio.wait([handler])


class _Connection:
    """The messages of one request: the body's go to the application, the disconnect to everything that waits for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body_read = asyncio.Event()
        self._gone = asyncio.Event()
        #: Whether a response has begun.
        self.answered = False

    async def receive(self) -> Message:
        if self._body_read.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone.set()
            self._body_read.set()
        elif not message.get("more_body", False):
            self._body_read.set()
        return message

    def sending(self, send: Send) -> Send:
        """The same `send`, with its use recorded."""

        async def watched(message: Message) -> None:
            self.answered = True
            await send(message)

        return watched

    async def gone(self) -> None:
        """Return when the client has left."""
        await self._body_read.wait()
        while not self._gone.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._gone.set()
