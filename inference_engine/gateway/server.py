"""The gateway as a process: listens, and shuts down in order.

SIGTERM, SIGINT ──► not ready, nothing more is admitted (503); connections are still answered
                    until no caller waits, at most for the shutdown delay
                ──► callers that still wait get 503, with the id of their job if it was posted; the listener closes; requests
                    under way, including uploads and answers being written, get the rest of the delay, at least a moment
a second one    ──► callers that wait get 503; requests under way get a moment
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import socket
from types import FrameType

import uvicorn

from ..aws.transport import misconfigured
from ..deployment import Deployment
from ..errors import InferenceEngineError, NotProvisionedError, TransportError
from ..settings import Settings
from .app import create_app, guarded
from .auth.access import Access
from .dispatch.service import Service
from .http.protocol import TimedProtocol, limited
from .settings import GatewaySettings

log = logging.getLogger(__name__)

#: For answers that are being written, where none of the shutdown delay is left or a second signal cuts it short.
LAST_ANSWERS_SECONDS = 2
#: A load balancer keeps sending requests for some seconds after it is told that the task leaves; these must be answered.
LINGER_SECONDS = 5.0
#: Longer than the idle timeout of the load balancer in front (terraform/modules/gateway_balancer), which would otherwise
#: meet closed connections.
KEEP_ALIVE_SECONDS = 400
#: For connections on which no caller has shown a good key; unused behind a load balancer, whose connections all callers share.
STRANGER_KEEP_ALIVE_SECONDS = 20
#: How long the check for a deployment may take at the start.
CHECK_SECONDS = 10.0
#: Connections that the kernel queues until they are accepted.
BACKLOG = 2048
#: Python's default of 700 makes reading JSON of millions of lists three times as slow: each collection finds all of them alive.
ALLOCATIONS_BETWEEN_COLLECTIONS = 50_000


class Gateway(uvicorn.Server):
    """One gateway process. `await serve()` returns when it has ended."""

    def __init__(self, settings: Settings, gateway: GatewaySettings) -> None:
        deployment = Deployment.for_producer(settings)
        access = Access(deployment.api_keys) if gateway.keys_required else Access.open()
        self.service = Service(deployment, gateway)
        self._gateway = gateway
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                guarded(create_app(self.service), gateway, access),
                host=gateway.host,
                port=gateway.port,
                http=limited(gateway.max_connections, None if gateway.trust_proxy else STRANGER_KEEP_ALIVE_SECONDS),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                # ForwardedAddress determines callers' addresses.
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
            )
        )

    @property
    def url(self) -> str:
        """The URL it listens on. Raises RuntimeError before it listens."""
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
        raise RuntimeError("the gateway is not listening yet")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log it."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self.servers:
            keys = (
                "API keys are required" if self._gateway.keys_required else "no API keys: only this machine is served"
            )
            log.info("gateway listens on %s, %s", self.url, keys)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down in order; at once on a second signal."""
        if self._loop is None or not self.started:
            super().handle_exit(sig, frame)
            return
        # uvicorn is not told of the signal, so it does not raise it again at the end: the exit code reports an orderly end.
        self._loop.call_soon_threadsafe(self._begin_end)

    def _begin_end(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ending is None:
            self._ending = loop.create_task(self.end())
            return
        log.warning("second signal: waiting callers are turned away")
        self._ending.cancel()
        self.service.send_away()
        self.should_exit = True
        # uvicorn may be waiting already, for as long as `end` has told it.
        loop.call_later(LAST_ANSWERS_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        """Leave uvicorn nothing to wait for: requests without an answer get 503, and answers under way are cut off."""
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            if isinstance(connection, TimedProtocol):
                connection.cut_off()

    async def end(self) -> None:
        """Stop admitting requests, wait for the callers that wait, close."""
        log.info(
            "gateway is stopping: no more requests are admitted, waiting callers have up to %g s",
            self._gateway.shutdown_delay,
        )
        until = asyncio.get_running_loop().time() + self._gateway.shutdown_delay
        self.service.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                if not self._gateway.loopback:
                    await asyncio.sleep(min(LINGER_SECONDS, self._gateway.shutdown_delay))
                await self.service.emptied()
        self.service.send_away()
        # A result is not yet an answer that its caller has read. uvicorn stops waiting once no connection has an open answer.
        left = until - asyncio.get_running_loop().time()
        self.config.timeout_graceful_shutdown = max(LAST_ANSWERS_SECONDS, math.ceil(left))
        self.should_exit = True


def run(settings: Settings, gateway: GatewaySettings) -> int:
    """Serve until a signal ends the process; returns the exit code."""
    gc.set_threshold(ALLOCATIONS_BETWEEN_COLLECTIONS)
    with _listener(gateway) as listener:
        asyncio.run(_check(settings))
        server = Gateway(settings, gateway)
        asyncio.run(server.serve([listener]))
    return 0 if server.started else 1


async def _check(settings: Settings) -> None:
    """Raises TransportError where this deployment cannot be served from here, now or later; an outage of AWS does not raise."""
    deployment = Deployment.for_producer(settings)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await deployment.registry.whole_fleet(settings.cells)
    except TimeoutError:
        log.warning("AWS has not responded within %g s; the gateway starts anyway", CHECK_SECONDS)
    except TransportError as error:
        if isinstance(error, NotProvisionedError) or misconfigured(error):
            raise
        log.warning("AWS does not respond; the gateway starts anyway: %s", error)
    finally:
        await deployment.close()


def _listener(gateway: GatewaySettings) -> socket.socket:
    """The listening port, before anything else starts. Raises InferenceEngineError where it cannot be opened."""
    try:
        found = socket.getaddrinfo(gateway.host, gateway.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise InferenceEngineError(
            f"the gateway cannot listen on {gateway.host} port {gateway.port} ({why}); "
            "stop what listens there, or choose another address or port"
        ) from error
