"""The local stack's emulator, where a call that an SDK repeats is answered once: `ministack_server.py <emulator_server.py>`.

Run by the interpreter of the emulator's own environment, so it imports nothing of the project.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: The same in every attempt of one call (AWS SDKs and Tools Reference Guide, "Retry behavior").
INVOCATION_ID = b"amz-sdk-invocation-id"


class AnswersOnce:
    """The ASGI `application`, which makes each call of an SDK once, whatever becomes of the connection.

    A connection that breaks before the answer is through makes the SDK call again, and what is made already can't be made
    again. The second attempt gets the answer of the first, unless that was the server's own fault (5xx).
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._answers: dict[bytes, asyncio.Task[list[Message]]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        call = dict(scope.get("headers", ())).get(INVOCATION_ID) if scope["type"] == "http" else None
        if call is None:
            await self._application(scope, receive, send)
            return
        if (body := await _body(receive)) is None:
            return
        answer = self._answers.get(call)
        if answer is None or (answer.done() and _failed(answer)):
            # A task of its own: a server ends the one of a connection that broke.
            answer = self._answers[call] = asyncio.create_task(self._answer(scope, body))
        for message in await asyncio.shield(answer):
            await send(message)

    async def _answer(self, scope: Message, body: bytes) -> list[Message]:
        messages: list[Message] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Message:
            return next(given, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            messages.append(message)

        await self._application(scope, receive, send)
        return messages


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when the caller left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _failed(answer: asyncio.Task[list[Message]]) -> bool:
    if answer.cancelled() or answer.exception():
        return True
    return any(message.get("status", 0) >= 500 for message in answer.result())


if __name__ == "__main__":
    from ministack import app as ministack

    ministack.app = AnswersOnce(ministack.app)
    script = sys.argv.pop(1)
    runpy.run_path(script, run_name="__main__")
