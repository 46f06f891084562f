"""The consumer's small HTTP port: health, readiness, busy, metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest


@dataclass(frozen=True, slots=True)
class State:
    """What the port reports: `ready` once the consumer can take jobs, `busy` while it has some."""

    ready: bool
    busy: bool
    stats: dict[str, Any]


class StatusServer:
    """Serves /healthz, /readyz, /busy, /stats and /metrics on `host` and `port` (0: any free port)."""

    def __init__(self, host: str, port: int, state: Callable[[], State], registry: CollectorRegistry) -> None:
        self._host = host
        self._port = port
        self._state = state
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on (the chosen one if 0 was requested)."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Start to listen. Raises OSError when the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/busy", self._busy)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        ready = self._state().ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def _busy(self, request: web.Request) -> web.Response:
        return web.json_response({"busy": self._state().busy})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(self._state().stats)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._state()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"})
