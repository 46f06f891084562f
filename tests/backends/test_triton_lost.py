"""Triton is killed under a consumer: its jobs go back to the queue, and end well once it is there again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from inference_engine import AsyncConsumer, AsyncProducer, ResultStatus, Settings
from inference_engine.backends.triton import TritonBackend
from inference_engine.local.triton import TritonServer
from inference_engine.local.triton_support import unavailable_reason
from inference_engine.model_authoring.tiny_models import write_tiny_models
from tests.support.deployments import with_short_terms

pytestmark = pytest.mark.faults

reason = unavailable_reason()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_short_terms(settings)


@pytest.mark.skipif(reason is not None, reason=str(reason))
async def test_jobs_survive_the_death_of_triton(settings: Settings, tmp_path: Path) -> None:
    write_tiny_models(tmp_path, ["tiny-a", "tiny-b"])
    first = TritonServer(tmp_path)
    first.start()
    port = int(first.grpc_url.rsplit(":", 1)[1])
    try:
        async with (
            AsyncConsumer(settings, backend=TritonBackend(first.grpc_url), max_labels=2) as consumer,
            AsyncProducer(settings) as producer,
        ):
            body = {"X": np.ones((1, 4), dtype=np.float32)}
            assert (await producer.post(body, "tiny-a")).ok
            ids = [await producer.post_non_blocking(body, label) for _ in range(100) for label in ("tiny-a", "tiny-b")]
            assert first.pid is not None
            os.kill(first.pid, signal.SIGKILL)
            more = await producer.post_many([body] * 50, "tiny-a")
            first.stop()
            with TritonServer(tmp_path, grpc_port=port):
                responses = [response async for response in producer.as_completed([*ids, *more], timeout_seconds=120)]
                assert {response.status for response in responses} == {ResultStatus.SUCCESS}
                assert {response.message_id for response in responses} == {*ids, *more}
                assert len(responses) == len(ids) + len(more)
                await consumer.stop()
    finally:
        first.stop()
