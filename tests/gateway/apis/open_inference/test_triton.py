"""The gateway before a real Triton: what NVIDIA's client is told by the one, it is told by the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from inference_engine import Consumer
from inference_engine.backends.triton import TritonBackend
from inference_engine.local.triton import TritonServer, available
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from tests.backends.test_triton import write_scripted_model
from tests.support.deployments import provisioned
from tests.support.gateway import running_gateway
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not available(), reason="Triton's wheel does not run on this machine")

X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


class Clients(NamedTuple):
    """NVIDIA's client of the gateway, and one of the Triton behind it."""

    gateway: triton.InferenceServerClient
    triton: triton.InferenceServerClient


@pytest.fixture(scope="module")
def clients(aws_environment: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    write_tiny_models(repository, ["cats", "dogs"])
    write_scripted_model(repository, "scripted")
    settings = provisioned()
    with TritonServer(repository, log_file=folder / "triton.log") as server:
        backend = TritonBackend(server.grpc_url, repository=repository)
        with (
            Consumer(settings, backend=backend, max_labels=3),
            running_gateway(settings) as url,
            triton.InferenceServerClient(url.removeprefix("http://")) as gateway,
            triton.InferenceServerClient(server.http_url) as direct,
        ):
            yield Clients(gateway, direct)


def numbers(array: Any, *, binary: bool = True) -> triton.InferInput:
    return triton.InferInput("X", list(array.shape), "FP32").set_data_from_numpy(array, binary_data=binary)


def strings(*items: str | bytes) -> triton.InferInput:
    array = np.array(items, object)
    return triton.InferInput("X", [len(items)], "BYTES").set_data_from_numpy(array)


@pytest.mark.parametrize("label", ["cats", "dogs"])
@pytest.mark.parametrize("binary", [True, False])
def test_models_answer_as_triton_answers(label: str, binary: bool, clients: Clients) -> None:
    outputs = [triton.InferRequestedOutput("Y", binary_data=binary)]
    found = clients.gateway.infer(label, [numbers(X, binary=binary)], outputs=outputs, request_id="7")
    theirs = clients.triton.infer(label, [numbers(X, binary=binary)], outputs=outputs, request_id="7")
    assert found.get_response() == theirs.get_response()
    np.testing.assert_array_equal(found.as_numpy("Y"), tiny_expected(label, X), strict=True)
    np.testing.assert_array_equal(found.as_numpy("Y"), theirs.as_numpy("Y"), strict=True)


def test_nan_and_infinities_are_read_from_json_as_triton_reads_them(clients: Clients) -> None:
    outputs = [triton.InferRequestedOutput("Y", binary_data=True)]
    asked = [numbers(np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32), binary=False)]
    found = clients.gateway.infer("cats", asked, outputs=outputs)
    theirs = clients.triton.infer("cats", asked, outputs=outputs)
    np.testing.assert_array_equal(found.as_numpy("Y"), theirs.as_numpy("Y"), strict=True)


def test_strings_and_other_bytes_answer_as_triton_answers(clients: Clients) -> None:
    for items in (["é", ""], ["é", b"\xff"]):
        found = clients.gateway.infer("scripted", [strings(*items)])
        theirs = clients.triton.infer("scripted", [strings(*items)])
        assert found.get_response() == theirs.get_response()
        assert found.as_numpy("Y").tolist() == theirs.as_numpy("Y").tolist()


@pytest.mark.parametrize("label", ["cats", "scripted"])
def test_metadata_is_tritons(label: str, clients: Clients) -> None:
    clients.gateway.infer(label, [numbers(X) if label == "cats" else strings("x")])
    eventually(lambda: clients.gateway.is_model_ready(label), "the model is ready")
    assert clients.triton.is_model_ready(label)
    eventually(lambda: _published(clients.gateway, label), "what the model takes is published")
    assert clients.gateway.get_model_metadata(label) == clients.triton.get_model_metadata(label)


def _published(client: triton.InferenceServerClient, label: str) -> bool:
    try:
        return bool(client.get_model_metadata(label))
    except InferenceServerException:
        return False


def test_a_job_that_does_not_fit_is_the_callers_fault(clients: Clients) -> None:
    for array in (X[:, :3], X.reshape(-1)):
        with pytest.raises(InferenceServerException, match=r"input 'X': expected FP32 \[-1, 4\]") as refused:
            clients.gateway.infer("cats", [numbers(array)])
        assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="boom") as failed:
        clients.gateway.infer("scripted", [strings("fail")])
    assert failed.value.status() == "500"


def test_a_model_that_is_nowhere_is_told(clients: Clients) -> None:
    with pytest.raises(InferenceServerException, match="no consumer could load the model of label 'nope'") as missing:
        clients.gateway.infer("nope", [numbers(X)])
    assert missing.value.status() == "503"
    assert not clients.gateway.is_model_ready("nope")
