"""The Open Inference Protocol for callers who have API keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from inference_engine import Consumer
from inference_engine.deployment import Deployment
from inference_engine.settings import Settings
from tests.support.deployments import provisioned
from tests.support.gateway import running_gateway
from tests.support.waiting import eventually


def echo(body: dict[str, Any], message_id: str) -> dict[str, Any]:
    return body


async def key_for(settings: Settings, *labels: str) -> str:
    deployment = Deployment.for_consumer(settings)
    try:
        text, _ = await deployment.api_keys.create("test", labels=labels)
        return text
    finally:
        await deployment.close()


@pytest.fixture(scope="module")
def headers(aws_environment: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of a gateway, and a key for the labels that begin with `mine-`."""
    settings = provisioned()
    key = asyncio.run(key_for(settings, "mine-*"))
    with Consumer(settings, compute_result=echo), running_gateway(settings, require_keys=True) as url:
        yield url, {"Authorization": f"Bearer {key}"}


@pytest.fixture
def client(headers: tuple[str, dict[str, str]]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(headers[0].removeprefix("http://")) as client:
        yield client


def tensor() -> triton.InferInput:
    return triton.InferInput("X", [1], "INT8").set_data_from_numpy(np.array([7], np.int8))


def test_health_needs_no_key_and_everything_else_does(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert not client.is_model_ready("mine-1")
    asks: list[Callable[[], Any]] = [
        client.get_server_metadata,
        client.get_model_repository_index,
        lambda: client.get_model_metadata("mine-1"),
        lambda: client.infer("mine-1", [tensor()]),
    ]
    for ask in asks:
        with pytest.raises(InferenceServerException) as refused:
            ask()
        assert refused.value.status() == "401"


def test_a_key_reaches_the_labels_it_is_for(
    client: triton.InferenceServerClient, headers: tuple[str, dict[str, str]]
) -> None:
    _, key = headers
    assert client.infer("mine-1", [tensor()], headers=key).as_numpy("X").tolist() == [7]
    assert client.get_server_metadata(headers=key)["name"] == "inference-engine"
    asks: list[Callable[[], Any]] = [
        lambda: client.infer("theirs", [tensor()], headers=key),
        lambda: client.get_model_metadata("theirs", headers=key),
    ]
    for ask in asks:
        with pytest.raises(InferenceServerException, match="may not use label 'theirs'") as refused:
            ask()
        assert refused.value.status() == "403"


def test_the_index_has_the_labels_that_the_key_is_for(
    client: triton.InferenceServerClient, headers: tuple[str, dict[str, str]]
) -> None:
    _, key = headers
    client.infer("mine-1", [tensor()], headers=key)
    assert {model["name"] for model in client.get_model_repository_index(headers=key)} == {"mine-1"}
    eventually(lambda: client.is_model_ready("mine-1", headers=key), "the model is ready")
