"""The model store against a real bucket: what lies there arrives as it is, and a change there arrives too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference_engine import Settings
from inference_engine.aws.objects import PART_BYTES, BucketObjects
from inference_engine.deployment import Deployment
from inference_engine.errors import ModelLoadError
from inference_engine.models.store import S3Store


async def test_models_come_from_a_bucket(settings: Settings, deployment: Deployment, tmp_path: Path) -> None:
    weights = os.urandom(PART_BYTES + 12_345)
    files = {"config.pbtxt": b'name: "m"', "1/model.onnx": weights, "1/empty": b""}

    async def put(name: str, data: bytes) -> None:
        await deployment.transport.call("s3", "put_object", Bucket=settings.bucket, Key=f"models/m/{name}", Body=data)

    for name, data in files.items():
        await put(name, data)
    assert settings.bucket is not None
    store = S3Store(
        f"s3://{settings.bucket}/models", tmp_path, blobs=BucketObjects(deployment.transport, settings.bucket)
    )

    stored = await store.fetch("m")
    assert stored.path == tmp_path / "m"
    assert stored.size_bytes == sum(len(data) for data in files.values())
    for name, data in files.items():
        assert (stored.path / name).read_bytes() == data

    await put("1/model.onnx", b"other weights")
    assert ((await store.fetch("m")).path / "1" / "model.onnx").read_bytes() == b"other weights"
    with pytest.raises(ModelLoadError, match="nobody"):
        await store.fetch("nobody")
