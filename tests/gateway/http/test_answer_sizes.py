"""What is told of a request that is wrong is short, however long or many the things are that are wrong with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from inference_engine.gateway.apis.dependencies import UNKNOWN_TOLD
from inference_engine.gateway.apis.dispatcher import RunTask, SendTask, UploadModel
from inference_engine.gateway.apis.router import Prompt
from inference_engine.gateway.apis.serving_agent import AsyncPredict, Predict
from inference_engine.gateway.app import create_app, guarded
from inference_engine.gateway.auth.access import Access
from inference_engine.gateway.auth.caller import Context
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.dispatch.stats import FlowStats
from inference_engine.gateway.http.problems import ERRORS_TOLD, Problem, cut, problem_of_job, unknown_job
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.jobs.job import JobFailure, Response, ResultStatus

#: So many that an answer which has but half a byte for each is too long.
MANY = 25_000
ANSWER_MAX_BYTES = 10_000

PREDICTION: dict[str, Any] = {"model_name": "m", "inputs": {"x": [1]}}
TASK: dict[str, Any] = {"task_id": "t", "task_type": "embed_texts", "label": "m", "parameters_json": '{"texts": ["a"]}'}
TENSOR: dict[str, Any] = {"name": "X", "shape": [2], "datatype": "INT32", "data": [1, 2]}
#: A good body of each route that takes one.
BODIES: dict[str, dict[str, Any]] = {
    "/run-task": TASK,
    "/send-task": TASK | {"callback_url": "https://example.com/done"},
    "/upload-model": {"model_id": "a/b", "max_batch_size": 32, "overwrite": False},
    "/v1/predict": PREDICTION,
    "/async/v1/predict": PREDICTION | {"webhook": "https://example.com/done", "keep_inputs": True},
    "/infer": {"prompt": "Why?"},
    "/v2/repository/index": {"ready": True},
    "/v2/models/m/infer": {
        "id": "r",
        "parameters": {"binary_data_output": False, "timeout": 5},
        "inputs": [TENSOR],
        "outputs": [{"name": "Y", "parameters": {"binary_data": False}}],
    },
}
#: JSON in the place of anything in a body.
VALUES = {
    "numbers": f"[{'0,' * MANY}0]",
    "lists": f"[{'[],' * MANY}[]]",
    "keys": json.dumps(dict.fromkeys(map(str, range(MANY)), 0)),
    "a text": json.dumps("x" * MANY),
    "emoji": json.dumps("\N{GRINNING FACE}" * MANY),
    "control characters": json.dumps("\0" * MANY),
    "half of surrogate pairs": json.dumps("\ud800" * MANY),
    "depth": "[" * MANY + "]" * MANY,
    "half the depth": "[" * 400 + "]" * 400,
    "a number": "9" * MANY,
}
#: JSON of members of any object in a body.
MEMBERS = {
    "keys": ", ".join(f'"{number}": 0' for number in range(MANY)),
    "a key": f'"{"k" * MANY}": 0',
    "emoji": ", ".join(f"{json.dumps(chr(0x1F600) * 1000 + str(number))}: 0" for number in range(100)),
    "half of surrogate pairs": ", ".join(f'"\\ud800{number}": 0' for number in range(MANY)),
}


class Jobs:
    """Answers each job by two outputs."""

    settings = GatewaySettings(model_ref="m")

    def flow_stats(self) -> FlowStats:
        return FlowStats(waiting=0, in_flight=0, bands=[], outcomes={})

    async def run(self, label: str, _body: Any, _context: Context) -> Response:
        return ended(ResultStatus.SUCCESS, result={"Y": 1, "EMBEDDING": [[0.5]]})

    async def submit(self, _label: str, _body: Any, _context: Context, **_options: Any) -> str:
        return "id"

    async def result(self, message_id: str, _context: Context) -> Response:
        raise unknown_job(message_id, 60.0)

    async def fleet(self) -> None:
        return None

    async def labels(self) -> list[str]:
        return []


def ended(status: ResultStatus, **more: Any) -> Response:
    return Response(message_id="id", request_id="r", label="m", status=status, status_code=0, **more)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(guarded(create_app(cast(Service, Jobs())), Jobs.settings, Access.open()))
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a body, the body itself among it."""
    yield ()
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from ((key, *rest) for rest in places(item))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The body with something else at that place; with a function, with what it makes of what is there."""
    if not place:
        return new(value) if callable(new) else new
    copied = value.copy()
    copied[place[0]] = changed(value[place[0]], place[1:], new)
    return copied


def hostile(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A name and the JSON of each body that is as the good one, but for one thing of which there is far too much."""
    for place in places(body):
        text = json.dumps(changed(body, place, "@"))
        yield from ((f"{place}: {name}", text.replace('"@"', value)) for name, value in VALUES.items())
        there = body
        for key in place:
            there = there[key]
        if isinstance(there, dict):
            text = json.dumps(changed(body, place, lambda found: found | {"@": 0}))
            yield from ((f"{place}: {name} in it", text.replace('"@": 0', more)) for name, more in MEMBERS.items())


@pytest.mark.parametrize("path", BODIES)
async def test_no_body_makes_a_long_answer(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.post(path, json=BODIES[path])).status_code in (200, 202, 503)
    refused = 0
    for name, text in hostile(BODIES[path]):
        answer = await http.post(path, content=text)
        if answer.status_code >= 400:
            refused += 1
            assert len(answer.content) <= ANSWER_MAX_BYTES, name
            assert len(answer.json().get("errors", ())) <= ERRORS_TOLD, name
            assert answer.status_code < 500 or answer.json()["type"] == "/problems/no-uploader", name
    assert refused > len(VALUES)


async def test_many_tensors_make_no_long_answer(http: httpx.AsyncClient) -> None:
    tensors = [
        {"name": f"a tensor, number {number}", "shape": [0], "datatype": "INT8", "data": []}
        for number in range(MANY // 10)
    ]
    head = json.dumps({"inputs": tensors})
    answer = await http.post(
        "/v2/models/m/infer",
        content=head + "bytes that are nobody's",
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("23 bytes follow the binary data of the inputs 'a tensor, number 0', ")
    assert len(answer.content) <= ANSWER_MAX_BYTES
    outputs = [{"name": f"output {number}"} for number in range(MANY // 10)]
    answer = await http.post("/v2/models/m/infer", json={"inputs": [TENSOR], "outputs": outputs})
    assert answer.json()["detail"] == "model 'm' has no output 'output 0'; its outputs are: 'Y', 'EMBEDDING'"


@pytest.mark.parametrize("path", ["/v2/models/m/versions/{}", "/v2/models/{}", "/ui/jobs/{}", "/task/{}", "/{}"])
async def test_no_address_makes_a_long_answer(http: httpx.AsyncClient, path: str) -> None:
    for part in ("x" * 60_000, "%F0%9F%98%80" * 5000, "%00" * 20_000):
        answer = await http.get(path.format(part))
        assert 400 <= answer.status_code < 500
        assert len(answer.content) <= ANSWER_MAX_BYTES


async def test_what_is_missing_is_told_beside_what_is_unknown(http: httpx.AsyncClient) -> None:
    unknown = dict.fromkeys((f"no field {number}" for number in range(MANY)), 0)
    answer = await http.post("/async/v1/predict", json={"inputs": [], "keep_inputs": 1} | unknown)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "model_name: Field required; inputs: Input should be a valid dictionary; "
        "keep_inputs: Input should be a valid boolean; "
        "no field 0: Extra inputs are not permitted; no field 1: Extra inputs are not permitted; "
        "no field 2: Extra inputs are not permitted"
    )


@pytest.mark.parametrize("model", [RunTask, SendTask, UploadModel, Predict, AsyncPredict, Prompt])
def test_errors_are_not_collected_for_each_key(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(dict.fromkeys(map(str, range(MANY)), 0))
    assert raised.value.error_count() <= len(model.model_fields) + UNKNOWN_TOLD


def test_what_a_model_says_is_told_from_its_beginning() -> None:
    failure = JobFailure(type="ValueError", message="what went wrong: " + "\N{GRINNING FACE}" * MANY)
    answer = problem_of_job(ended(ResultStatus.ERROR, error=failure)).response()
    assert len(answer.body) <= ANSWER_MAX_BYTES
    told = json.loads(bytes(answer.body))
    assert told["detail"] == told["error"]
    assert told["detail"].startswith("what went wrong: \N{GRINNING FACE}")
    assert told["detail"].endswith("\N{GRINNING FACE}…")


@given(st.text(st.characters(), max_size=300), st.integers(0, 300))
@example("\N{GRINNING FACE}\ud800\0é" * 20, 100)
def test_a_text_is_cut_by_what_it_takes_in_json(text: str, most: int) -> None:
    told = cut(text, most)
    if len(json.dumps(text)) - 2 <= most:
        assert told == text
    else:
        assert told.endswith("…")
        assert text.startswith(told[:-1])
        kept = len(told) - 1
        assert len(json.dumps(text[:kept])) - 2 <= most < len(json.dumps(text[: kept + 1])) - 2


def test_problems_tell_their_details_whole_where_these_are_not_long() -> None:
    assert Problem(400, "invalid-request", "x" * 2000).detail == "x" * 2000
    assert Problem(400, "invalid-request", "x" * 2001).detail == "x" * 2000 + "…"
