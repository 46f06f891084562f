"""What models take and give: told by backends, published by consumers, kept in the registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from inference_engine import AsyncConsumer, AsyncProducer, Settings
from inference_engine.backends.base import LoadedModel
from inference_engine.backends.function import FunctionBackend
from inference_engine.backends.onnx import OnnxBackend
from inference_engine.consumer.assignment import PlacedLabels
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.fleet.registry import Registry
from inference_engine.fleet.view import ModelSignature, TensorSpec
from inference_engine.model_authoring.tiny_models import write_tiny_models
from tests.support.waiting import HANG_SECONDS

CATS = ModelSignature(
    label="cats",
    platform="onnxruntime_onnx",
    inputs=(TensorSpec(name="X", datatype="FP32", shape=(-1, 4)),),
    outputs=(TensorSpec(name="Y", datatype="FP32", shape=(-1, 4)),),
)


async def test_the_registry_keeps_the_last_signature_of_each_label(deployment: Deployment) -> None:
    assert await deployment.registry.signature("cats") is None
    other = ModelSignature(label="a/b ü", platform="python_function")
    for signature in (CATS.model_copy(update={"platform": "old"}), CATS, other):
        await deployment.registry.describe(signature)
    assert await deployment.registry.signature("cats") == CATS
    assert await deployment.registry.signature("a/b ü") == other
    assert await deployment.registry.signatures() == [other, CATS]
    assert await deployment.registry.labels() == []


def test_what_a_later_release_says_of_a_tensor_beside_is_not_read() -> None:
    text = CATS.model_dump_json()
    assert ModelSignature.model_validate_json(text) == CATS
    assert ModelSignature.model_validate_json(text.replace('"optional"', '"unit":"m","optional"')) == CATS


async def test_an_onnx_model_tells_its_tensors(tmp_path: Path) -> None:
    write_tiny_models(tmp_path, ["cats"])
    backend = OnnxBackend(tmp_path)
    await backend.start()
    assert (await backend.load("cats")).signature == CATS
    assert (await backend.load("cats")).signature == CATS
    await backend.close()


class Described(FunctionBackend):
    """Tells what it is told of its models."""

    signature: ModelSignature | None = None

    async def load(self, label: str) -> LoadedModel:
        return LoadedModel(label, signature=self.signature)


class Writes:
    """What consumers write of models; `refused` of the first writes fail."""

    def __init__(self, patch: pytest.MonkeyPatch, refused: int = 0) -> None:
        self.asked: list[ModelSignature] = []
        self.changed = asyncio.Condition()
        write = Registry.describe

        async def describe(registry: Registry, signature: ModelSignature) -> None:
            self.asked.append(signature)
            try:
                if len(self.asked) <= refused:
                    raise TransportError("AWS does not answer")
                await write(registry, signature)
            finally:
                async with self.changed:
                    self.changed.notify_all()

        patch.setattr(Registry, "describe", describe)

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(HANG_SECONDS), self.changed:
            await self.changed.wait_for(lambda: len(self.asked) >= count)


def backend_of(signature: ModelSignature | None) -> Described:
    def echo(body: Any, message_id: str) -> Any:
        return body

    backend = Described(echo)
    backend.signature = signature
    return backend


async def load_again(consumer: AsyncConsumer, producer: AsyncProducer) -> None:
    """One job of `cats` by a load of its own."""
    assert isinstance(consumer._assignment, PlacedLabels)
    await consumer._assignment._loader.give_up("cats")
    assert (await producer.post(1, "cats")).ok


async def test_a_consumer_publishes_once_and_again_when_the_model_has_changed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, backend = Writes(monkeypatch), backend_of(CATS)
    async with AsyncConsumer(settings, backend=backend) as consumer, AsyncProducer(settings) as producer:
        await load_again(consumer, producer)
        await writes.reach(1)
        await load_again(consumer, producer)
        backend.signature = CATS.model_copy(update={"outputs": ()})
        await load_again(consumer, producer)
        await writes.reach(2)
        assert writes.asked == [CATS, backend.signature]
        assert await consumer._deployment.registry.signature("cats") == backend.signature


async def test_a_load_does_not_depend_on_publishing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch, refused=1)
    async with AsyncConsumer(settings, backend=backend_of(None)) as consumer, AsyncProducer(settings) as producer:
        await load_again(consumer, producer)
        await writes.reach(1)
        assert await consumer._deployment.registry.signature("cats") is None
        await load_again(consumer, producer)
        await writes.reach(2)
        assert await consumer._deployment.registry.signature("cats") == ModelSignature(label="cats")
