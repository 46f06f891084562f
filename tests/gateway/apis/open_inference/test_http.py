"""The Open Inference Protocol over real HTTP: NVIDIA's client, and requests as no client writes them."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from inference_engine import Consumer, Settings
from inference_engine.tensors import DTYPES, datatype_of
from tests.support.deployments import provisioned
from tests.support.examples import run_page
from tests.support.gateway import running_gateway
from tests.support.project import DOCS
from tests.support.waiting import eventually

ARRAYS: dict[str, Any] = {
    "BOOL": np.array([[True], [False]]),
    "BYTES": np.array(["é", "", "long" * 100], object),
    **{name: np.array([[1, 0, 100]], dtype) for name, dtype in DTYPES.items() if name not in ("BOOL", "BYTES")},
}
LIMIT_BYTES = 1_000_000


def compute(body: dict[str, Any], message_id: str, label: str) -> Any:
    """What the label says."""
    match label:
        case "kinds":
            return {name: str(array.dtype) for name, array in body.items()}
        case "nan":
            return {"A": np.array([np.nan, 1.0], np.float32)}
        case "plain":
            return {"score": 0.5, "ids": [[1, 2]], "names": ["a"], "deep": {"a": [None]}}
        case "complex":
            return np.array([1j])
        case "slow":
            time.sleep(1.0)
    return body


@pytest.fixture(scope="module")
def url(aws_environment: str) -> Iterator[str]:
    """A gateway before a consumer of Python functions."""
    settings = provisioned()
    with (
        Consumer(settings, compute_result=compute, max_labels=50),
        running_gateway(settings, body_max_bytes=LIMIT_BYTES) as url,
    ):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def tensor(name: str, array: Any, *, binary: bool = True) -> triton.InferInput:
    one = triton.InferInput(name, list(array.shape), datatype_of(array.dtype))
    return one.set_data_from_numpy(array, binary_data=binary)


def assert_equal(found: Any, wanted: Any) -> None:
    if wanted.dtype == object:
        texts = [item.decode() if isinstance(item, bytes) else item for item in found.flat]
        assert texts == list(wanted.flat)
    else:
        np.testing.assert_array_equal(found, wanted, strict=True)


def infer(url: str, label: str, request: Any, **options: Any) -> httpx.Response:
    content = request if isinstance(request, bytes) else json.dumps(request).encode()
    return httpx.post(f"{url}/v2/models/{label}/infer", content=content, timeout=60, **options)


X: dict[str, Any] = {"name": "X", "shape": [2], "datatype": "INT32", "data": [1, 2]}


# --- NVIDIA's client -------------------------------------------------------------------------------------------------------


def test_the_server_tells_of_itself_and_of_its_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "inference-engine"
    assert metadata["extensions"] == ["binary_tensor_data", "model_repository"]
    assert not client.is_model_ready("new")
    assert "new" not in index(client)
    with pytest.raises(InferenceServerException, match="model 'new' is unknown") as unknown:
        client.get_model_metadata("new")
    assert unknown.value.status() == "404"

    client.infer("new", [tensor("X", ARRAYS["FP32"])])
    eventually(lambda: client.is_model_ready("new"), "the model is ready")
    assert client.is_model_ready("new", "1")
    assert index(client)["new"] == {"name": "new", "version": "1", "state": "READY", "reason": ""}
    published = {"name": "new", "versions": ["1"], "platform": "python_function", "inputs": [], "outputs": []}
    assert metadata_of(client, "new") == client.get_model_metadata("new", "1") == published


def index(client: triton.InferenceServerClient) -> dict[str, Any]:
    return {model["name"]: model for model in client.get_model_repository_index()}


def metadata_of(client: triton.InferenceServerClient, label: str, version: str = "") -> Any:
    """The metadata of a model that was loaded a moment ago: consumers publish it beside their work."""

    def asked() -> Any:
        with contextlib.suppress(InferenceServerException):
            return client.get_model_metadata(label, version)

    return eventually(asked, "what the model takes is published")


@pytest.mark.parametrize(
    ("label", "version"),
    [
        ("sentence-transformers/all MiniLM:v2", ""),
        ("ünï%20code?#", ""),
        ("a/infer", "1"),
        ("a/ready", "1"),
        ("a/versions/1", "1"),
    ],
)
def test_any_label_can_be_used(label: str, version: str, client: triton.InferenceServerClient) -> None:
    found = client.infer(label, [tensor("X", ARRAYS["INT64"])], model_version=version)
    assert found.get_response()["model_name"] == label
    eventually(lambda: client.is_model_ready(label, version), "the model is ready")
    assert metadata_of(client, label, version)["name"] == label


@pytest.mark.parametrize("binary", [True, False])
def test_all_datatypes_there_and_back(binary: bool, client: triton.InferenceServerClient) -> None:
    arrays = {name: array for name, array in ARRAYS.items() if binary or name != "FP16"}
    inputs = [tensor(name, array, binary=binary) for name, array in arrays.items()]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in arrays]
    found = client.infer("echo", inputs, outputs=outputs, request_id="mine")
    assert found.get_response()["id"] == "mine"
    for name, array in arrays.items():
        assert found.get_output(name)["datatype"] == name
        assert ("data" in found.get_output(name)) is not binary
        assert_equal(found.as_numpy(name), array)
    kinds = client.infer("kinds", inputs)
    for name in arrays:
        assert kinds.as_numpy(name).tolist() == [DTYPES[name].name.encode()]


def test_only_the_outputs_that_are_asked_for_come(client: triton.InferenceServerClient) -> None:
    inputs = [tensor("A", ARRAYS["FP32"]), tensor("B", ARRAYS["INT8"])]
    found = client.infer("echo", inputs, outputs=[triton.InferRequestedOutput("B", binary_data=False)])
    assert found.as_numpy("A") is None
    assert_equal(found.as_numpy("B"), ARRAYS["INT8"])
    with pytest.raises(InferenceServerException, match="has no output 'C'; its outputs are: 'A', 'B'"):
        client.infer("echo", inputs, outputs=[triton.InferRequestedOutput("C")])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_both_ways(algorithm: str, client: triton.InferenceServerClient) -> None:
    big = np.zeros((100, 1000), np.float32)
    options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    found = client.infer("echo", [tensor("X", big), tensor("S", ARRAYS["BYTES"])], **options)
    assert_equal(found.as_numpy("X"), big)
    assert_equal(found.as_numpy("S"), ARRAYS["BYTES"])


def test_many_at_once(url: str) -> None:
    with triton.InferenceServerClient(url.removeprefix("http://"), concurrency=8) as client:
        arrays = [np.array([[seed]], np.int64) for seed in range(32)]
        asked = [client.async_infer("echo", [tensor("X", array)]) for array in arrays]
        for request, array in zip(asked, arrays, strict=True):
            assert_equal(request.get_result().as_numpy("X"), array)


def test_what_is_not_served_is_told(client: triton.InferenceServerClient) -> None:
    inputs = [tensor("X", ARRAYS["FP32"])]
    with pytest.raises(InferenceServerException, match='"sequence_id" is not supported'):
        client.infer("echo", inputs, sequence_id=7, sequence_start=True)
    with pytest.raises(InferenceServerException, match='"classification" is not supported'):
        client.infer("echo", inputs, outputs=[triton.InferRequestedOutput("X", class_count=2)])
    with pytest.raises(InferenceServerException, match='"shared_memory_region" is not supported'):
        client.infer("echo", [triton.InferInput("X", [1], "FP32").set_shared_memory("region", 4)])
    assert client.infer("echo", inputs, priority=1, parameters={"mine": "own"}).as_numpy("X").shape == (1, 3)


def test_the_callers_timeout_is_kept(client: triton.InferenceServerClient) -> None:
    inputs = [tensor("X", ARRAYS["FP32"])]
    client.infer("slow", inputs)
    with pytest.raises(InferenceServerException) as late:
        client.infer("slow", inputs, timeout=200_000)
    assert late.value.status() == "504"


# --- requests and responses as they are --------------------------------------------------------------------------------------


def test_results_of_functions_are_tensors(url: str) -> None:
    answer = infer(url, "plain", {"inputs": [X]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["outputs"] == [
        {"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]},
        {"name": "ids", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]},
        {"name": "names", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        {"name": "deep", "datatype": "BYTES", "shape": [1], "data": ['{"a":[null]}']},
    ]


def test_the_header_tells_where_the_json_ends(url: str) -> None:
    tensor = {"name": "X", "shape": [2], "datatype": "INT32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = head + np.array([1, 2], np.int32).tobytes()
    answer = infer(url, "echo", body, headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert answer.content[size:] == body[len(head) :]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "told"),
    [
        ("GET", "/v2/models/m/versions/2", 404, "unknown-version", "its only version is '1'"),
        ("GET", "/v2/models/m/versions/2/ready", 404, "unknown-version", "no version '2'"),
        ("POST", "/v2/models/m/versions/2/infer", 404, "unknown-version", "no version '2'"),
        ("GET", "/v2/models/m/ready", 400, "model-not-ready", "no consumer has it loaded"),
        ("GET", "/v2/models/", 400, "invalid-label", "is empty"),
        ("GET", "/v2/models/" + "x" * 300, 400, "invalid-label", "has 300 characters"),
        ("GET", "/v2/models/a%07b/ready", 400, "invalid-label", "unprintable character"),
        ("GET", "/v2/models/m/infer", 405, "method-not-allowed", "POST"),
        ("PUT", "/v2/models/m/infer", 405, "method-not-allowed", ""),
        ("POST", "/v2/models/m/infer", 400, "invalid-request", "not valid JSON"),
    ],
)
def test_problems_are_told_in_one_shape(method: str, path: str, status: int, kind: str, told: str, url: str) -> None:
    answer = httpx.request(method, url + path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == f"/problems/{kind}"
    assert problem["error"] == problem["detail"]
    assert told in problem["detail"]
    assert problem["status"] == status


def test_what_has_no_json_form_is_to_be_asked_for_as_bytes(url: str) -> None:
    refused = infer(url, "nan", {"inputs": [X]})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/output-not-available")
    assert "'A' has NaN or infinities" in refused.json()["error"]
    assert refused.json()["message_id"]
    answer = infer(url, "nan", {"inputs": [X], "parameters": {"binary_data_output": True}})
    assert answer.content.endswith(np.array([np.nan, 1.0], np.float32).tobytes())
    strange = infer(url, "complex", {"inputs": [X]})
    assert (strange.status_code, strange.json()["type"]) == (500, "/problems/result-without-tensors")


def test_a_bomb_is_refused(url: str) -> None:
    bomb = gzip.compress(json.dumps({"inputs": [X | {"padding": " " * LIMIT_BYTES}]}).encode())
    answer = infer(url, "echo", bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    small = gzip.compress(json.dumps({"inputs": [X]}).encode())
    assert infer(url, "echo", small, headers={"Content-Encoding": "gzip"}).json()["outputs"][0]["data"] == [1, 2]
    odd = infer(url, "echo", small, headers={"Content-Encoding": "br"})
    assert (odd.status_code, odd.json()["type"]) == (400, "/problems/invalid-request")


def test_the_index_of_what_is_ready(url: str) -> None:
    infer(url, "echo", {"inputs": [X]})

    def ready() -> list[str]:
        answer = httpx.post(f"{url}/v2/repository/index", json={"ready": True})
        return [model["name"] for model in answer.json() if model["state"] == "READY"]

    assert eventually(lambda: "echo" in ready(), "the model is ready")
    assert httpx.post(f"{url}/v2/repository/index", content=b"[]").status_code == 400


# --- the page --------------------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page(settings: Settings) -> None:
    page = DOCS / "gateway" / "open-inference.md"
    source = re.search(r"```\{code-block\} python\n(def compute.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert source is not None
    names: dict[str, Any] = {}
    exec(source[1], names)
    with Consumer(settings, compute_result=names["compute"]), running_gateway(settings) as url:
        assert run_page(page, url) == 5
