"""A proxy between the library and AWS that fails a seeded share of the calls, as AWS and networks do."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter, defaultdict, deque
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "te", "trailer", "upgrade"}
)


class Fault(Enum):
    """What can happen to a call."""

    THROTTLE = "refused for too many calls"
    SERVER_ERROR = "failed with HTTP 500"
    LOST_RESPONSE = "carried out, and the connection closed without an answer"


class FaultProxy:
    """Forwards AWS calls to `target_url`, and lets a `share` of them fail; use it with `with`.

    `calls` counts what arrived by operation (`SendMessageBatch`, …; `S3.PUT` for S3), `faults` what was made of it. `plan`
    names faults for the next calls of one operation, before any chance.
    """

    def __init__(self, target_url: str, share: float = 0.05, seed: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self.faults: Counter[Fault] = Counter()
        self._target_url = target_url.rstrip("/")
        self._share = share
        self._random = random.Random(seed)
        self._planned: defaultdict[str, deque[Fault | None]] = defaultdict(deque)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._port = 0

    @property
    def url(self) -> str:
        """What AWS clients take as their endpoint."""
        return f"http://127.0.0.1:{self._port}"

    def plan(self, operation: str, *faults: Fault | None) -> None:
        """The next calls of `operation` meet these faults, in order; None is a call that goes well."""
        self._planned[operation].extend(faults)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0), trust_env=False
        )
        app = web.Application(client_max_size=1024**3)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        service, operation = await _operation(request)
        self.calls[operation] += 1
        fault = self._next_fault(operation)
        if fault is not None:
            self.faults[fault] += 1
        if fault is Fault.THROTTLE:
            await request.read()
            return _throttle(service)
        if fault is Fault.SERVER_ERROR:
            await request.read()
            return _error(500, "InternalServerError", "the service failed")
        try:
            answer = await self._forward(request)
        except aiohttp.ClientConnectionError:
            # What is behind the proxy stops while a long poll is out.
            return web.Response(status=502)
        if fault is Fault.LOST_RESPONSE and request.transport is not None:
            request.transport.abort()
        return answer

    def _next_fault(self, operation: str) -> Fault | None:
        if self._planned[operation]:
            return self._planned[operation].popleft()
        return self._random.choice(list(Fault)) if self._random.random() < self._share else None

    async def _forward(self, request: web.Request) -> web.Response:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        async with self._session.request(
            request.method,
            f"{self._target_url}{request.raw_path}",
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
            response = web.Response(status=answer.status, body=body)
            response.headers.clear()
            for name, value in kept:
                response.headers.add(name, value)
            return response


async def _operation(request: web.Request) -> tuple[str, str]:
    """Service and operation of an AWS call: JSON protocol, query protocol, or S3, which has no operation names on the wire."""
    service, dot, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if dot:
        return service, operation
    fields = dict(request.query)
    if request.content_type == "application/x-www-form-urlencoded":
        fields |= dict(parse_qsl(await request.text()))
    if action := fields.get("Action"):
        return "query", action
    return "S3", f"S3.{request.method}"


def _throttle(service: str) -> web.Response:
    if service.startswith("DynamoDB"):
        return _error(400, "ProvisionedThroughputExceededException", "the table is too busy")
    if service == "S3":
        return web.Response(status=503, text="<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
    return _error(400, "ThrottlingException", "too many calls")


def _error(status: int, code: str, message: str) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps({"__type": f"com.amazonaws#{code}", "message": message}).encode(),
        headers={"x-amzn-errortype": code},
        content_type="application/x-amz-json-1.0",
    )
