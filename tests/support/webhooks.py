"""A receiver of webhooks, and a process that delivers one batch of them."""

from __future__ import annotations

import asyncio
import json
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inference_engine.webhooks.rules import verify

from .waiting import HANG_SECONDS


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, once its signature is right."""
        verify(self.headers, self.body, secret)
        return self.event


class Receiver:
    """An HTTP server on loopback that tells what it received, and answers by `answer`: a status, or what to do itself."""

    def __init__(self, answer: Callable[[Received], int] = lambda _: 200, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.requests: queue.Queue[Received] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._serving: threading.Thread | None = None
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?job=1"

    def next(self, seconds: float = HANG_SECONDS) -> Received:
        """The next request that comes."""
        return self.requests.get(timeout=seconds)

    @property
    def silent(self) -> bool:
        """Whether everything that came was asked for."""
        return self.requests.empty()

    def start(self) -> None:
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._serving.start()

    def stop(self) -> None:
        if self._serving is not None:
            self._server.shutdown()
            self._serving.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.requests.put(received)
                status = receiver.answer(received)
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()
                self.wfile.write(b"as told")

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def receiver(
    answer: Callable[[Received], int] = lambda _: 200, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver for the length of a block."""
    server = Receiver(answer, tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def after_failures(*statuses: int) -> Callable[[Received], int]:
    """Answers with each status once, and then with 200."""
    left = list(statuses)
    return lambda _: left.pop(0) if left else 200


async def deliver_one_batch(visibility_seconds: int) -> None:
    """Receive a batch and deliver it, as the function does: for a process that is killed over it."""
    from inference_engine.deployment import Deployment
    from inference_engine.settings import Settings, WebhookSettings
    from inference_engine.webhooks.delivery import Courier
    from inference_engine.webhooks.queue import WebhookQueue
    from inference_engine.webhooks.secret import Secret

    deployment = Deployment.for_producer(Settings(), threads=True)
    work = WebhookQueue(deployment.transport, deployment.queues, deployment.settings.prefix)
    settings = WebhookSettings()
    messages = await work.receive(20, visibility_seconds)
    outcome = await Courier(work, Secret(deployment.transport, settings), settings).deliver(messages)
    await work.delete(outcome.done)


if __name__ == "__main__":
    asyncio.run(deliver_one_batch(visibility_seconds=2))
