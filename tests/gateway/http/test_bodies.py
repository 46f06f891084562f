"""Bodies and labels on their way through the routes, over real connections, before a service that keeps its callers waiting."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest

from inference_engine import Settings
from inference_engine.errors import SettingsError
from inference_engine.gateway import server
from inference_engine.gateway.apis.open_inference import request as requests
from inference_engine.gateway.apis.open_inference import response as answers
from inference_engine.gateway.app import create_app, guarded
from inference_engine.gateway.auth.access import Access
from inference_engine.gateway.auth.caller import Context
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.http import threads
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.jobs.job import Response, ResultStatus
from tests.support.serving import serving
from tests.support.waiting import eventually

BODY_BYTES = 1_000_000
SMALL: dict[str, Any] = {"inputs": [{"name": "X", "datatype": "INT32", "shape": [2], "data": [1, 2]}]}
LARGE: dict[str, Any] = {
    "inputs": [{"name": "X", "datatype": "INT32", "shape": [100_000], "data": [1234] * 100_000}],
}


class Jobs:
    """Answers each job with its body, and holds it before that as told."""

    def __init__(self) -> None:
        self.settings = GatewaySettings(body_max_bytes=BODY_BYTES, bodies_max_bytes=1_500_000)
        self.labels: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def run(self, label: str, body: Any, _context: Context) -> Response:
        self.labels.append(label)
        await self.answers.wait()
        return Response(
            message_id="id", request_id="r", label=label, status=ResultStatus.SUCCESS, status_code=0, result=body
        )

    async def submit(self, label: str, _body: Any, _context: Context, **_options: Any) -> str:
        self.labels.append(label)
        return "id"


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
async def http(jobs: Jobs) -> AsyncIterator[httpx.AsyncClient]:
    app = guarded(create_app(cast(Service, jobs)), jobs.settings, Access.open())
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


# --- memory --------------------------------------------------------------------------------------------------------------


async def test_what_compressed_bodies_unpack_to_counts_until_they_are_answered(
    http: httpx.AsyncClient, jobs: Jobs
) -> None:
    packed = gzip.compress(json.dumps(SMALL).encode() + b" " * 900_000)
    assert len(packed) < 10_000

    async def infer() -> httpx.Response:
        return await http.post("/v2/models/m/infer", content=packed, headers={"Content-Encoding": "gzip"})

    jobs.answers.clear()
    first = asyncio.create_task(infer())
    await asyncio.to_thread(eventually, lambda: jobs.labels, "the first body is held")
    refused = await infer()
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
    assert refused.headers["Retry-After"] == "2"
    assert "1500000 bytes" in refused.json()["detail"]
    jobs.answers.set()
    assert (await first).status_code == 200
    assert (await infer()).status_code == 200


@pytest.mark.parametrize("name", ["bodies_max_bytes", "max_queue_bytes"])
def test_a_body_that_is_allowed_has_room_somewhere(name: str) -> None:
    GatewaySettings.model_validate({"body_max_bytes": 10, name: 10})
    with pytest.raises(SettingsError, match=f"{name} is less than body_max_bytes"):
        GatewaySettings(**{"body_max_bytes": 10, name: 9})


# --- the event loop ------------------------------------------------------------------------------------------------------


def watched(function: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
    """A function that tells on which thread it is called."""

    def call(*arguments: Any) -> Any:
        seen.append(threading.current_thread().name)
        return function(*arguments)

    return call


@pytest.mark.parametrize(("body", "beside"), [(SMALL, False), (LARGE, True)])
async def test_large_tensors_are_read_and_written_beside_the_loop(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], beside: bool
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(requests, "read", watched(requests.read, seen))
    monkeypatch.setattr(answers, "write", watched(answers.write, seen))
    answer = await http.post("/v2/models/m/infer", json=body)
    assert answer.json()["outputs"][0]["data"] == body["inputs"][0]["data"]
    assert [name.startswith("gateway-bodies") for name in seen] == [beside] * 2


@pytest.mark.parametrize(("count", "beside"), [(10, False), (100_000, True)])
@pytest.mark.parametrize("path", ["/v1/predict", "/run-task"])
async def test_large_results_are_written_beside_the_loop(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, count: int, beside: bool
) -> None:
    seen: list[str] = []
    answer = threads.run

    async def run(*arguments: Any) -> Any:
        seen.append(str(arguments[0].__name__))
        return await answer(*arguments)

    monkeypatch.setattr(threads, "run", run)
    inputs = {"x": [0.5] * count}
    told = await http.post(
        path,
        json={"model_name": "m", "inputs": inputs}
        if path == "/v1/predict"
        else {"label": "m", "task_type": "infer", "parameters_json": json.dumps(inputs)},
    )
    assert told.json().get("outputs", told.json()) == inputs
    assert seen == ["JsonAnswer"] * beside


async def test_the_parameters_of_a_task_are_parsed_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    loads = json.loads

    def counted(text: str, **options: Any) -> Any:
        parsed.append(text)
        return loads(text, **options)

    monkeypatch.setattr(json, "loads", counted)
    told = await http.post("/run-task", json={"label": "m", "task_type": "infer", "parameters_json": '{"x": [7]}'})
    assert (told.status_code, told.json()) == (200, {"x": [7]})
    assert parsed.count('{"x": [7]}') == 1


# --- labels and paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["m\nforged line status=200", "x" * 3000, " "])
@pytest.mark.parametrize("path", ["/v1/predict", "/async/v1/predict", "/run-task", "/send-task"])
async def test_only_good_labels_get_into_the_log(
    http: httpx.AsyncClient, jobs: Jobs, caplog: pytest.LogCaptureFixture, path: str, label: str
) -> None:
    caplog.set_level(logging.INFO)
    predicts = path.endswith("predict")
    name = "model_name" if predicts else "label"
    body: dict[str, Any] = {"inputs": {}} if predicts else {"task_type": "infer", "parameters_json": "1"}
    refused = await http.post(path, json=body | {name: label})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-label")
    await http.post(path, json=body | {name: "good"})
    records = [vars(one) for one in caplog.records if one.name == "inference_engine.gateway.http.access_log"]
    assert [one.get("label") for one in records] == [None, "good"]
    assert jobs.labels == ["good"]


async def test_nobody_is_sent_to_another_address(jobs: Jobs) -> None:
    async with serving(create_app(cast(Service, jobs))) as port, httpx.AsyncClient() as client:
        for path in ("/ui/", "/v2/health/live/", "/labels/"):
            answer = await client.get(f"http://127.0.0.1:{port}{path}", headers={"Host": "evil.example"})
            assert (answer.status_code, answer.headers.get("location")) == (404, None), path


# --- the server ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_the_server_keeps_the_limits_itself(trusted: bool) -> None:
    config = server.Gateway(Settings(), GatewaySettings(max_connections=7, trust_proxy=trusted)).config
    protocol: Any = config.http
    assert (protocol.max_connections, config.limit_concurrency) == (7, None)
    # On the connections of a load balancer come everybody's requests: it must not find one closed.
    assert protocol.stranger_seconds == (None if trusted else server.STRANGER_KEEP_ALIVE_SECONDS)
    assert not config.proxy_headers
