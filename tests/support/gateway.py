"""A gateway on a real port, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from inference_engine.gateway.server import Gateway
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.settings import Settings

from .waiting import HANG_SECONDS


@contextlib.contextmanager
def running_gateway(settings: Settings, **overrides: Any) -> Iterator[str]:
    """Serve a deployment over HTTP; the gateway's URL. `overrides` are settings of the gateway, by name."""
    listening: Future[tuple[Gateway, str]] = Future()
    gateway = GatewaySettings(**{"port": 0, "shutdown_delay": 1, "timeout_seconds": 60} | overrides)
    thread = threading.Thread(target=asyncio.run, args=(_serve(settings, gateway, listening),), name="gateway")
    thread.start()
    server: Gateway | None = None
    try:
        server, url = listening.result(HANG_SECONDS)
        yield url
    finally:
        if server is not None:
            server.should_exit = True
        thread.join(HANG_SECONDS)
        assert not thread.is_alive(), "the gateway did not end"


async def _serve(settings: Settings, gateway: GatewaySettings, listening: Future[tuple[Gateway, str]]) -> None:
    try:
        server = _Told(settings, gateway, listening)
        await server.serve()
    except BaseException as error:
        if not listening.done():
            listening.set_exception(error)
        raise


class _Told(Gateway):
    """A gateway that says when it listens."""

    def __init__(self, settings: Settings, gateway: GatewaySettings, listening: Future[tuple[Gateway, str]]) -> None:
        super().__init__(settings, gateway)
        self._listening = listening

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening.set_result((self, self.url))
        else:
            self._listening.set_exception(RuntimeError("the gateway did not start"))
