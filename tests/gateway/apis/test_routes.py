"""What routes make of tasks and jobs, without a server."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from inference_engine.gateway.apis.dispatcher import RunTask, job_body
from inference_engine.gateway.apis.open_inference import routes as open_inference
from inference_engine.gateway.apis.open_inference.response import InferResponse
from inference_engine.gateway.apis.serving_agent import STATUSES, TaskStatus, task_of
from inference_engine.gateway.http import encodings, threads
from inference_engine.gateway.http.problems import Problem
from inference_engine.jobs.job import JobFailure, Response, ResultStatus


def task(task_type: str, parameters: Any) -> RunTask:
    return RunTask(task_type=task_type, label="m", parameters_json=json.dumps(parameters))


@pytest.mark.parametrize(
    ("task_type", "parameters", "body"),
    [
        ("infer", {"x": [1.5]}, {"x": [1.5]}),
        ("infer", 5, 5),
        ("infer", None, None),
        ("embed_texts", {"texts": ["a", "b"]}, {"TEXT": ["a", "b"]}),
        ("resize", {"width": 3}, {"task_id": "t", "task_type": "resize", "parameters": {"width": 3}}),
        ("", [1], {"task_id": "t", "task_type": "", "parameters": [1]}),
    ],
)
def test_bodies_of_jobs(task_type: str, parameters: Any, body: Any) -> None:
    assert job_body(task(task_type, parameters), "t") == body


@pytest.mark.parametrize("parameters", [[], {}, {"texts": "a"}, {"texts": []}, {"texts": ["a", 1]}, None])
def test_texts_that_cannot_be_embedded(parameters: Any) -> None:
    with pytest.raises(Problem, match="at least one string") as raised:
        job_body(task("embed_texts", parameters), "t")
    assert raised.value.status == 422


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"x": -Infinity}', "[" * 100_000, "1 2"])
def test_parameters_must_be_json(text: str) -> None:
    with pytest.raises(ValidationError, match=r"is not JSON|is not a JSON number|nested too deeply"):
        RunTask(task_type="infer", label="m", parameters_json=text)


def test_the_states_of_tasks_are_those_of_jobs() -> None:
    assert len(get_args(TaskStatus)) == len(ResultStatus)
    assert {status.value: name for status, name in STATUSES.items()} == {
        "SUBMITTED": "pending",
        "IN_PROGRESS": "running",
        "SUCCESS": "succeeded",
        "ERROR": "failed",
        "CANCELLED": "canceled",
        "EXPIRED": "expired",
    }


@pytest.mark.parametrize(
    ("size", "beside"), [(100, 0), (encodings.COMPRESSED_MIN_BYTES, 0), (threads.LARGE_BYTES + 1, 1)]
)
async def test_only_large_answers_are_compressed_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, size: int, beside: int
) -> None:
    ran: list[int] = []

    async def run(function: Any, *arguments: Any) -> Any:
        ran.append(1)
        return function(*arguments)

    monkeypatch.setattr(threads, "run", run)
    answer = await open_inference._response(InferResponse(b"x" * size, None), "gzip")
    assert ("content-encoding" in answer.headers) is (size >= encodings.COMPRESSED_MIN_BYTES)
    assert len(ran) == beside


def response(**values: Any) -> Response:
    fixed = {"message_id": "id", "request_id": "r", "label": "m", "status_code": 0}
    return Response(**fixed, **values)


def test_a_task_tells_its_times() -> None:
    ended = response(
        status=ResultStatus.SUCCESS,
        result={"y": 1},
        submitted_at=1_700_000_000.25,
        started_at=1_700_000_001.0,
        finished_at=1_700_000_003.5,
    )
    found = task_of(ended)
    assert (found.status, found.outputs, found.error) == ("succeeded", {"y": 1}, None)
    assert (found.created_at, found.started_at, found.finished_at) == (
        "2023-11-14T22:13:20.250Z",
        "2023-11-14T22:13:21.000Z",
        "2023-11-14T22:13:23.500Z",
    )
    assert (found.queue_seconds, found.running_time) == (0.75, 2.5)


def test_a_task_that_waits_has_no_times_but_one_and_a_failed_one_its_reason() -> None:
    waiting = task_of(response(status=ResultStatus.SUBMITTED, submitted_at=1.0))
    assert (waiting.status, waiting.started_at, waiting.queue_seconds, waiting.running_time) == (
        "pending",
        None,
        None,
        None,
    )
    failed = task_of(response(status=ResultStatus.ERROR, error=JobFailure(type="ValueError", message="no")))
    assert (failed.status, failed.error) == ("failed", "ValueError: no")


def test_clocks_that_differ_make_no_negative_time() -> None:
    found = task_of(response(status=ResultStatus.IN_PROGRESS, submitted_at=10.0, started_at=9.9))
    assert found.queue_seconds == 0.0
