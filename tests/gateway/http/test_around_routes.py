"""What stands around every route: what it answers is described for each operation, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import Message, Scope

from inference_engine.api_keys import ApiKey, ApiKeys, digest_of
from inference_engine.errors import TransportError
from inference_engine.gateway.app import create_app, guarded
from inference_engine.gateway.auth.access import Access
from inference_engine.gateway.auth.caller import Context
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.dispatch.stats import FlowStats
from inference_engine.gateway.http import body_limit as guards
from inference_engine.gateway.http.paths import PUBLIC_PATHS
from inference_engine.gateway.settings import GatewaySettings

SECRET = "s" * 43
KEY = {"Authorization": f"Bearer ie_{'a' * 10}_{SECRET}"}
IN_PATHS = {"label": "m", "version": "1", "id": "an-id", "message_id": "an-id"}


class Idle:
    """A service whose numbers can be asked for, and whose jobs never end; what else is asked of it fails as a bug does."""

    settings = GatewaySettings()

    def flow_stats(self) -> FlowStats:
        return FlowStats(waiting=0, in_flight=0, bands=[], outcomes={})

    async def run(self, _label: str, _body: Any, _context: Context) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    def __getattr__(self, name: str) -> NoReturn:
        raise KeyError(name)


def new_app() -> FastAPI:
    return create_app(cast(Service, Idle()))


class Keys(ApiKeys):
    """One key, whose caller may do everything once a day; or an AWS that does not answer."""

    def __init__(self, *, answers: bool = True) -> None:
        self._answers = answers

    async def get(self, key_id: str) -> ApiKey | None:
        if not self._answers:
            raise TransportError("AWS is away")
        digest = digest_of(SECRET)
        return ApiKey(key_id=key_id, digest=digest, name="k", created_at=0, operator=True, rate=1 / 86_400)


@contextlib.asynccontextmanager
async def client(app: FastAPI, access: Access, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    # Not validated: limits so low that they refuse everything make no gateway.
    gateway = GatewaySettings().model_copy(update=settings)
    transport = httpx.ASGITransport(guarded(app, gateway, access), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as found:
        yield found


# --- the description -----------------------------------------------------------------------------------------------------


async def stuck() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that a guard refuses, by who may call and what is set; of all operations, or of those that it can meet."""

    status: int
    access: Callable[[], Access] = Access.open
    settings: tuple[tuple[str, Any], ...] = ()
    request: Callable[[], dict[str, Any]] = dict
    only: Callable[[str, dict[str, Any]], bool] = lambda _path, _operation: True


def needs_key(path: str, _operation: dict[str, Any]) -> bool:
    return path not in PUBLIC_PATHS


def reads_body(_path: str, operation: dict[str, Any]) -> bool:
    return "requestBody" in operation


REFUSALS = {
    "another site's page": Refusal(403, request=lambda: {"headers": {"Sec-Fetch-Site": "cross-site"}}),
    "too large": Refusal(413, settings=(("body_max_bytes", 99),), request=lambda: {"content": b"x" * 100}),
    "no room": Refusal(503, settings=(("bodies_max_bytes", 99),), request=lambda: {"content": b"x" * 100}),
    "too slow": Refusal(
        408, settings=(("body_timeout_seconds", 0.0),), request=lambda: {"content": stuck()}, only=reads_body
    ),
    "no key": Refusal(401, lambda: Access(Keys()), only=needs_key),
    "too many requests": Refusal(429, lambda: Access(Keys()), request=lambda: {"headers": KEY}, only=needs_key),
    "AWS is away": Refusal(
        503, lambda: Access(Keys(answers=False)), request=lambda: {"headers": KEY}, only=needs_key
    ),
}  # fmt: skip


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in new_app().openapi()["paths"].items():
        yield from ((path, method, operation) for method, operation in methods.items())


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_guards_refuse_is_described_for_every_operation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "LINGER_SECONDS", 0.0)
    refusal = REFUSALS[name]
    async with client(new_app(), refusal.access(), **dict(refusal.settings)) as http:
        # The one request that the key has.
        await http.get("/metrics", headers=KEY)
        met = 0
        for path, method, operation in operations():
            if refusal.only(path, operation):
                answer = await http.request(method, path.format_map(IN_PATHS), **refusal.request())
                assert answer.status_code == refusal.status, (method, path)
                described = operation["responses"][str(refusal.status)]["content"]
                assert list(described) == [answer.headers["content-type"]], (method, path)
                met += 1
        assert met >= 8


async def test_bugs_are_described_for_every_operation() -> None:
    async with client(new_app(), Access.open()) as http:
        assert (await http.get("/workers")).status_code == 500
    assert [path for path, _, operation in operations() if "500" not in operation["responses"]] == []


# --- the numbers ---------------------------------------------------------------------------------------------------------


def counted(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Requests by route and status."""
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "inference_engine_gateway_requests_total"
    }


def timed(registry: CollectorRegistry, route: str) -> float | None:
    return registry.get_sample_value("inference_engine_gateway_request_seconds_count", {"route": route})


async def test_failures_and_refusals_are_counted() -> None:
    app = new_app()
    async with client(app, Access.open(), body_max_bytes=99) as http:
        for path in ("/health", "/workers", "/v2/models/m", "/nothing"):
            await http.get(path)
        await http.get("/health", headers={"Origin": "https://elsewhere.example"})
        await http.post("/infer", content=b"x" * 100)
        await http.post("/infer", content=b"{")
    registry = app.state.metrics.registry
    assert counted(registry) == {
        ("/health", "200"): 1,
        ("/workers", "500"): 1,
        ("/v2/models/{label:path}", "500"): 1,
        ("none", "404"): 1,
        ("none", "403"): 1,
        ("none", "413"): 1,
        ("/infer", "422"): 1,
    }
    assert (timed(registry, "none"), timed(registry, "/workers"), timed(registry, "/infer")) == (3, 1, 1)


async def test_callers_without_good_keys_are_counted() -> None:
    app = new_app()
    async with client(app, Access(Keys())) as http:
        for headers in ({}, KEY, KEY):
            await http.get("/metrics", headers=headers)
    assert counted(app.state.metrics.registry) == {
        ("none", "401"): 1,
        ("/metrics", "200"): 1,
        ("none", "429"): 1,
    }


async def test_callers_who_left_before_there_was_an_answer_are_not_counted() -> None:
    app = new_app()
    body = json.dumps({"model_name": "m", "inputs": {}}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await guarded(app, GatewaySettings(), Access.open())(scope, receive, send)
    assert scope["route"].path == "/v1/predict"
    registry = app.state.metrics.registry
    assert (counted(registry), timed(registry, "/v1/predict")) == ({}, None)
