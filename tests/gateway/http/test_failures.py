"""What callers are told of requests that no route takes, or that are not what a route takes; and the description of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from inference_engine import Settings
from inference_engine.deployment import Deployment
from inference_engine.gateway.app import create_app, guarded
from inference_engine.gateway.auth.access import Access
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.http.problems import problem_of_job, unknown_job
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.jobs.job import JobFailure, Response, ResultStatus


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings()
    app = create_app(Service(Deployment.for_producer(Settings(), threads=True), settings))
    transport = httpx.ASGITransport(guarded(app, settings, Access.open()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/nothing/here", 404, "there is no route GET /nothing/here; GET /openapi.json lists the routes"),
        ("GET", "/v2/models", 404, "there is no route GET /v2/models"),
        ("GET", "/run-task", 405, "GET /run-task is not served; use POST"),
        ("GET", "/v2/models/m/stats", 404, "does not serve statistics of a model"),
        ("GET", "/v2/models/m/versions/1/config", 404, "does not serve the configuration of a model"),
    ],
)
async def test_what_is_not_served(http: httpx.AsyncClient, method: str, path: str, status: int, told: str) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "content_type", "told"),
    [
        (b'{"label": "m"}', "application/x-www-form-urlencoded", "send Content-Type: application/json"),
        (b'{"label": "m"}', "text/plain", "send Content-Type: application/json instead of 'text/plain'"),
        (b"{bad", "application/json", "body: is not valid JSON at character 1: Expecting property name"),
        (b"\xff\xfe", "application/json", "body: is not valid JSON"),
        (b'{"label": "m", "task_type": "infer"}', "application/json", "parameters_json: Field required"),
        (
            b'{"label": "m", "task_type": "infer", "parameters_json": "1", "callbak_url": "x"}',
            "application/json",
            "callbak_url: Extra inputs are not permitted",
        ),
    ],
)
async def test_bodies_that_are_not_what_they_should_be(
    http: httpx.AsyncClient, content: bytes, content_type: str, told: str
) -> None:
    answer = await http.post("/send-task", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


async def test_the_description_names_keys_and_where_none_is_needed(http: httpx.AsyncClient) -> None:
    schema: dict[str, Any] = (await http.get("/openapi.json")).json()
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "header"}
    assert schema["paths"]["/run-task"]["post"]["security"] == [{}, {"bearer": []}, {"header": []}]
    assert "security" not in schema["paths"]["/healthz"]["get"]


def ended(status: ResultStatus, failure: JobFailure | None = None) -> Response:
    return Response(message_id="an-id", request_id="r", label="m", status=status, status_code=500, error=failure)


@pytest.mark.parametrize(
    ("response", "status", "told"),
    [
        (ended(ResultStatus.IN_PROGRESS), 504, "poll GET /task/an-id for its result"),
        (ended(ResultStatus.ERROR, JobFailure(type="ModelInputError", message="too wide")), 400, "too wide"),
        (ended(ResultStatus.ERROR, JobFailure(type="KeyError", message="'x'")), 500, "'x'"),
        (ended(ResultStatus.CANCELLED), 409, "the job is CANCELLED"),
        (ended(ResultStatus.EXPIRED), 504, "the job is EXPIRED"),
    ],
)
def test_what_a_caller_is_told_of_a_job(response: Response, status: int, told: str) -> None:
    problem = problem_of_job(response)
    assert (problem.status, problem.members["message_id"]) == (status, "an-id")
    assert told in problem.detail
    assert problem.body()["error"] == problem.detail


def test_who_waited_as_long_as_is_possible_is_not_told_to_wait_longer() -> None:
    running = ended(ResultStatus.IN_PROGRESS)
    assert "set a longer X-Inference-Timeout" in problem_of_job(running).detail
    told = problem_of_job(running, longest_seconds=3600.0).detail
    assert told.startswith("no result in time (the longest wait allowed here is 3600 s): ")


@pytest.mark.parametrize(
    ("seconds", "told"), [(86_400, "86400 s"), (2_592_000.0, "2592000 s"), (31_536_000, "31536000 s"), (0.5, "0.5 s")]
)
def test_how_long_results_are_kept_is_told_in_plain_numbers(seconds: float, told: str) -> None:
    assert unknown_job("an-id", seconds).detail.endswith(f"kept for {told}")


def test_why_a_model_cannot_be_loaded_stays_inside() -> None:
    failure = JobFailure(type="ModelLoadError", message="not in the repository of Triton at 10.0.0.7:8001")
    problem = problem_of_job(ended(ResultStatus.ERROR, failure))
    assert problem.status == 503
    assert "10.0.0.7" not in problem.detail
    assert "POST /v2/repository/index" in problem.detail
