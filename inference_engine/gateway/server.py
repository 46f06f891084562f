"""The gateway as a process: listens, and ends in order.

SIGTERM, SIGINT ──► not ready, nothing more is admitted (503); connections are still answered
                    until nobody waits, at most for the shutdown delay
                ──► who has had no turn gets 503; the listener closes; what is under way gets a moment
a second one    ──► at once
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from types import FrameType

import uvicorn

from ..aws.connect import Aws
from ..settings import Settings
from .access import Access
from .app import create_app
from .guards import guarded
from .protocol import TimedProtocol
from .service import Service
from .settings import GatewaySettings

log = logging.getLogger(__name__)

#: After the shutdown delay: for answers that are being written.
LAST_ANSWERS_SECONDS = 2
#: A load balancer sends requests for some seconds after it was told that the task leaves; these are to be answered, not refused.
LINGER_SECONDS = 5.0
#: Longer than the idle timeout of the load balancer in front (terraform/modules/gateway_balancer), which would meet closed
#: connections otherwise.
KEEP_ALIVE_SECONDS = 400


class Gateway(uvicorn.Server):
    """One gateway process. `await serve()` returns when it has ended."""

    def __init__(self, settings: Settings, gateway: GatewaySettings) -> None:
        aws = Aws.for_producer(settings)
        access = Access(aws.api_keys) if gateway.keys_required else Access.open()
        self.service = Service(aws, gateway)
        self._gateway = gateway
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                guarded(create_app(self.service), gateway, access),
                host=gateway.host,
                port=gateway.port,
                http=TimedProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=gateway.max_connections,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
            )
        )

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
        raise RuntimeError("the gateway does not listen yet")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self.servers:
            keys = (
                "API keys are required" if self._gateway.keys_required else "no API keys: only this machine is served"
            )
            log.info("gateway listens on %s, %s", self.url, keys)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; at once when told a second time."""
        if self._ending is not None or self._loop is None or not self.started:
            super().handle_exit(sig, frame)
            return
        # What uvicorn is not told, it does not raise again after the end: the exit code says that all went in order.
        self._loop.call_soon_threadsafe(self._begin_end)

    def _begin_end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.end())

    async def end(self) -> None:
        """Stop admitting, wait for those who wait, close."""
        log.info("gateway stops: nothing more is admitted, %g s for who waits", self._gateway.shutdown_delay)
        self.service.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gateway.shutdown_delay):
                if not self._gateway.loopback:
                    await asyncio.sleep(min(LINGER_SECONDS, self._gateway.shutdown_delay))
                await self.service.emptied()
        self.service.send_away()
        self.should_exit = True


def run(settings: Settings, gateway: GatewaySettings) -> int:
    """Serve until a signal ends it; the exit code."""
    server = Gateway(settings, gateway)
    asyncio.run(server.serve())
    return 0 if server.started else 1
