"""TritonBackend against a real server: the one that Triton's wheel carries, with tiny models."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_engine.backends.base import LoadedModel, Work
from inference_engine.backends.triton.backend import ModelLostError, TritonBackend
from inference_engine.errors import BackendError, BackendLostError, ModelInputError, ModelLoadError
from inference_engine.fleet.view import ModelSignature, TensorSpec
from inference_engine.local.triton import TritonServer, available
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from inference_engine.models.store import FolderStore, folder_bytes
from tests.support.waiting import HANG_SECONDS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not available(), reason="Triton's wheel does not run on this machine"),
]


#: A model of strings that does what its input says.
SCRIPTED = """
import os
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "X")) for request in requests]

    def answer(self, tensor):
        verb, _, path = tensor.as_numpy()[0].decode("latin-1").partition(" ")
        if verb == "die":
            os._exit(1)
        if verb == "fail":
            raise RuntimeError("boom")
        if verb == "wait":
            open(path, "wb").close()
            open(path, "rb").read()
        return pb.InferenceResponse([pb.Tensor("Y", tensor.as_numpy())])
"""


def write_scripted_model(repository: Path, label: str, *options: str, datatype: str = "TYPE_STRING") -> None:
    (repository / label / "1").mkdir(parents=True)
    (repository / label / "1" / "model.py").write_text(SCRIPTED)
    tensor = f"data_type: {datatype} dims: [ -1 ]"
    (repository / label / "config.pbtxt").write_text(
        f'name: "{label}" backend: "python" max_batch_size: 0\n'
        f'input [ {{ name: "X" {tensor} }} ]\noutput [ {{ name: "Y" {tensor} }} ]\n' + "\n".join(options)
    )


def fill(repository: Path) -> Path:
    repository.mkdir()
    write_tiny_models(repository, ["cats", "dogs", "corrupt"])
    (repository / "corrupt" / "1" / "model.onnx").write_bytes(b"no model")
    (repository / "empty" / "1").mkdir(parents=True)
    write_scripted_model(repository, "scripted")
    write_scripted_model(repository, "decoupled", "model_transaction_policy { decoupled: true }")
    write_scripted_model(repository, "bf16", datatype="TYPE_BF16")
    write_scripted_model(repository, "full", "dynamic_batching { default_queue_policy { max_queue_size: 1 } }")
    return repository


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("triton")
    with TritonServer(fill(folder / "repository"), log_file=folder / "triton.log") as running:
        yield running


@pytest.fixture
async def backend(server: TritonServer) -> AsyncIterator[TritonBackend]:
    backend = TritonBackend(server.grpc_url, repository=server.repository)
    await backend.start()
    yield backend
    for label in ("cats", "dogs", "scripted", "full"):
        await backend.unload(label)
    await backend.close()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[TritonServer]:
    """A server that a test may kill."""
    with TritonServer(fill(tmp_path / "repository"), log_file=tmp_path / "triton.log") as running:
        yield running


def work(label: str, body: Any) -> Work:
    return Work("message", label, body)


def numbers(seed: int, rows: int = 2) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-8, 8, (rows, 4)).astype(np.float32)


def kill(server: TritonServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


async def flood(backend: TritonBackend, seed: int, answered: asyncio.Semaphore | None = None) -> None:
    """One job after the other until one fails; each answer releases `answered`."""
    while True:
        await backend.infer(work("cats", numbers(seed)))
        if answered is not None:
            answered.release()


class Waiting:
    """A job that is inside the model from the end of `arrived` until `release`."""

    def __init__(self, pipe: Path) -> None:
        os.mkfifo(pipe)
        self._pipe = pipe
        self.body = {"X": [f"wait {pipe}"]}

    async def arrived(self) -> None:
        await asyncio.to_thread(self._pipe.read_bytes)

    async def release(self) -> None:
        await asyncio.to_thread(self._pipe.write_bytes, b"")


# --- load, infer, unload -------------------------------------------------------------------------------------------


async def test_a_loaded_model_answers_until_it_is_unloaded(backend: TritonBackend, server: TritonServer) -> None:
    loaded = await backend.load("cats")
    signature = ModelSignature(
        label="cats",
        platform="onnxruntime_onnx",
        inputs=(TensorSpec("X", "FP32", (-1, 4)),),
        outputs=(TensorSpec("Y", "FP32", (-1, 4)),),
    )
    assert loaded == LoadedModel("cats", folder_bytes(server.repository / "cats"), signature)
    x = numbers(1)
    for body in ({"X": x}, {"X": x.tolist()}, x, x.tolist()):
        answer = await backend.infer(work("cats", body))
        assert list(answer) == ["Y"]
        np.testing.assert_array_equal(answer["Y"], tiny_expected("cats", x))
        assert answer["Y"].dtype == np.float32
    await backend.unload("cats")
    with pytest.raises(ModelLostError, match="'cats' is not loaded"):
        await backend.infer(work("cats", x))
    await backend.load("cats")
    np.testing.assert_array_equal((await backend.infer(work("cats", x)))["Y"], tiny_expected("cats", x))


async def test_load_and_unload_may_be_repeated(backend: TritonBackend) -> None:
    assert await backend.load("cats") == await backend.load("cats")
    await backend.unload("cats")
    await backend.unload("cats")
    await backend.unload("never heard of")


async def test_models_load_and_unload_side_by_side(backend: TritonBackend) -> None:
    await asyncio.gather(backend.load("cats"), backend.load("dogs"))
    await asyncio.gather(backend.unload("cats"), backend.load("scripted"))
    x = numbers(2)
    np.testing.assert_array_equal((await backend.infer(work("dogs", x)))["Y"], tiny_expected("dogs", x))


async def test_strings_come_back_as_strings_and_other_bytes_as_bytes(backend: TritonBackend) -> None:
    await backend.load("scripted")
    assert list((await backend.infer(work("scripted", ["é", ""])))["Y"]) == ["é", ""]
    assert list((await backend.infer(work("scripted", ["é", b"\xff"])))["Y"]) == ["é".encode(), b"\xff"]
    assert list((await backend.infer(work("scripted", "alone")))["Y"]) == ["alone"]


async def test_two_hundred_jobs_at_once_get_their_own_answers(backend: TritonBackend) -> None:
    await asyncio.gather(backend.load("cats"), backend.load("dogs"))
    jobs = [(("cats", "dogs")[seed % 2], numbers(seed, rows=1 + seed % 3)) for seed in range(200)]
    answers = await asyncio.gather(*(backend.infer(work(label, x)) for label, x in jobs))
    for (label, x), answer in zip(jobs, answers, strict=True):
        np.testing.assert_array_equal(answer["Y"], tiny_expected(label, x))


async def test_an_unload_waits_for_the_job_inside(backend: TritonBackend, tmp_path: Path) -> None:
    await backend.load("scripted")
    job = Waiting(tmp_path / "pipe")
    running = asyncio.create_task(backend.infer(work("scripted", job.body)))
    await job.arrived()
    unloading = asyncio.create_task(backend.unload("scripted"))
    while await backend._server.is_ready("scripted"):
        pass
    assert not unloading.done()
    await job.release()
    assert list((await running)["Y"]) == job.body["X"]
    await unloading


async def test_a_measure_tells_the_size_unless_loads_overlap(server: TritonServer) -> None:
    taken = iter(range(0, 10**9, 10**6))
    backend = TritonBackend(server.grpc_url, repository=server.repository, measure=lambda: next(taken))
    await backend.start()
    assert (await backend.load("cats")).size_bytes == 10**6
    assert (await backend.load("cats")).size_bytes == 10**6
    await backend.unload("cats")
    cats, dogs = await asyncio.gather(backend.load("cats"), backend.load("dogs"))
    assert cats.size_bytes == folder_bytes(server.repository / "cats")
    assert dogs.size_bytes == folder_bytes(server.repository / "dogs")
    await asyncio.gather(backend.unload("cats"), backend.unload("dogs"))
    await backend.close()


async def test_a_store_brings_the_model_and_keeps_it_while_it_is_loaded(tmp_path: Path) -> None:
    labels = ["a", "b", "c"]
    source, repository = tmp_path / "source", tmp_path / "repository"
    repository.mkdir()
    write_tiny_models(source, labels)
    room = sum(folder_bytes(source / label) for label in labels[:2]) + 10
    store = FolderStore(source, repository, max_bytes=room)
    with TritonServer(repository, log_file=tmp_path / "triton.log") as server:
        backend = TritonBackend(server.grpc_url, store=store)
        await backend.start()
        assert (await backend.load("a")).size_bytes == folder_bytes(source / "a")
        await backend.load("b")
        with pytest.raises(ModelLoadError, match="in use"):
            await backend.load("c")
        await backend.unload("a")
        await backend.load("c")
        assert not (repository / "a").exists()
        x = numbers(3)
        np.testing.assert_array_equal((await backend.infer(work("c", x)))["Y"], tiny_expected("c", x))
        with pytest.raises(ModelLoadError, match=f"'nope' cannot be fetched from {source}"):
            await backend.load("nope")
        await backend.close()


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"Z": [[1, 2, 3, 4]]}, "no input 'Z'"),
        ({"X": [[1, 2, 3]]}, r"input 'X': expected FP32 \[-1, 4\], got shape \[1, 3\]"),
        ({"X": np.zeros((1, 4))}, "got an array of float64"),
        ({"X": np.zeros((65, 4), np.float32)}, "Triton refused a job for model 'cats'.*<= 64"),
    ],
)
async def test_a_job_that_does_not_fit_is_refused(body: Any, reason: str, backend: TritonBackend) -> None:
    await backend.load("cats")
    with pytest.raises(ModelInputError, match=reason):
        await backend.infer(work("cats", body))


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("nope", "no model of label 'nope' is in the repository"),
        ("corrupt", "could not load model 'corrupt': .*INVALID_PROTOBUF"),
        ("empty", "config.pbtxt is missing or cannot be read"),
        ("decoupled", "'decoupled' cannot be served: it is decoupled"),
        ("bf16", r"'bf16' cannot be served: numpy has no type for 'X' \(BF16 \[-1\]\), 'Y'"),
    ],
)
async def test_a_model_that_cannot_be_served_is_refused_with_the_reason(
    label: str, reason: str, backend: TritonBackend
) -> None:
    with pytest.raises(ModelLoadError, match=reason):
        await backend.load(label)
    assert not await backend._server.is_ready(label)
    assert await backend.healthy()
    with pytest.raises(ModelLostError):
        await backend.infer(work(label, ["x"]))


async def test_a_failing_job_may_be_tried_again(backend: TritonBackend) -> None:
    await backend.load("scripted")
    with pytest.raises(BackendError, match="boom") as failed:
        await backend.infer(work("scripted", ["fail"]))
    assert type(failed.value) is BackendError
    assert list((await backend.infer(work("scripted", ["again"])))["Y"]) == ["again"]


async def test_a_job_that_takes_too_long_may_be_tried_again(server: TritonServer, tmp_path: Path) -> None:
    backend = TritonBackend(server.grpc_url, infer_timeout_seconds=0.5)
    await backend.start()
    await backend.load("scripted")
    job = Waiting(tmp_path / "pipe")
    with pytest.raises(BackendError, match=r"took over 0\.5 s") as failed:
        await backend.infer(work("scripted", job.body))
    assert type(failed.value) is BackendError
    await job.arrived()
    await job.release()
    await backend.unload("scripted")
    await backend.close()


async def test_a_full_queue_is_no_lost_server(backend: TritonBackend, tmp_path: Path) -> None:
    await backend.load("full")
    job = Waiting(tmp_path / "pipe")
    running = asyncio.create_task(backend.infer(work("full", job.body)))
    await job.arrived()
    others = [asyncio.create_task(backend.infer(work("full", ["x"]))) for _ in range(5)]
    done, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    assert {type(task.exception()) for task in done} == {BackendError}
    await job.release()
    await asyncio.gather(running, *others, return_exceptions=True)


# --- what is lost --------------------------------------------------------------------------------------------------


async def test_a_model_whose_process_died_is_lost_and_loads_again(backend: TritonBackend) -> None:
    await backend.load("scripted")
    with pytest.raises(ModelLostError, match="process of model 'scripted' died"):
        await backend.infer(work("scripted", ["die"]))
    with pytest.raises(ModelLostError, match="not loaded"):
        await backend.infer(work("scripted", ["x"]))
    assert await backend.healthy()
    await backend.load("scripted")
    assert list((await backend.infer(work("scripted", ["x"])))["Y"]) == ["x"]


async def test_a_model_whose_process_died_can_be_given_up(backend: TritonBackend) -> None:
    await backend.load("scripted")
    with pytest.raises(ModelLostError):
        await backend.infer(work("scripted", ["die"]))
    await backend.unload("scripted")
    await backend.load("scripted")
    assert list((await backend.infer(work("scripted", ["x"])))["Y"]) == ["x"]


async def test_a_model_that_somebody_else_unloaded_is_lost(backend: TritonBackend, server: TritonServer) -> None:
    await backend.load("cats")
    other = TritonBackend(server.grpc_url)
    await other.start()
    await other.unload("cats")
    await other.close()
    with pytest.raises(ModelLostError, match="no longer serves model 'cats'"):
        await backend.infer(work("cats", numbers(4)))
    await backend.load("cats")
    await backend.infer(work("cats", numbers(4)))


async def test_every_job_in_flight_of_a_killed_server_is_lost(mortal: TritonServer, tmp_path: Path) -> None:
    backend = TritonBackend(mortal.grpc_url)
    await backend.start()
    await asyncio.gather(backend.load("cats"), backend.load("scripted"))
    stuck = Waiting(tmp_path / "pipe")
    answered = asyncio.Semaphore(0)
    async with asyncio.timeout(HANG_SECONDS):
        jobs: list[asyncio.Task[Any]] = [asyncio.create_task(backend.infer(work("scripted", stuck.body)))]
        jobs += [asyncio.create_task(flood(backend, seed, answered)) for seed in range(50)]
        await stuck.arrived()
        for _ in range(200):
            await answered.acquire()
        kill(mortal)
        ends = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(end) for end in ends} == {BackendLostError}
        assert not await backend.healthy()
        with pytest.raises(BackendLostError):
            await backend.load("dogs")
        with pytest.raises(BackendLostError):
            await backend.unload("cats")
    await backend.close()


async def test_a_server_that_comes_back_is_used_again(mortal: TritonServer, tmp_path: Path) -> None:
    backend = TritonBackend(mortal.grpc_url)
    await backend.start()
    await asyncio.gather(backend.load("cats"), backend.load("dogs"))
    kill(mortal)
    x = numbers(5)
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(BackendLostError):
            await flood(backend, 5)
        await asyncio.to_thread(mortal.stop)
        successor = TritonServer(mortal.repository, grpc_port=mortal.grpc_port, log_file=tmp_path / "second.log")
        await asyncio.to_thread(successor.start)
        try:
            await backend.start()
            assert await backend.healthy()
            with pytest.raises(ModelLostError, match="no longer serves model 'dogs'"):
                await backend.infer(work("dogs", x))
            await backend.load("cats")
            np.testing.assert_array_equal((await backend.infer(work("cats", x)))["Y"], tiny_expected("cats", x))
        finally:
            await backend.close()
            await asyncio.to_thread(successor.stop)


async def test_closing_ends_the_jobs_in_flight(mortal: TritonServer, tmp_path: Path) -> None:
    backend = TritonBackend(mortal.grpc_url)
    await backend.start()
    await backend.load("scripted")
    job = Waiting(tmp_path / "pipe")
    running = asyncio.create_task(backend.infer(work("scripted", job.body)))
    await job.arrived()
    async with asyncio.timeout(HANG_SECONDS):
        await backend.close()
        with pytest.raises(BackendLostError, match="closed"):
            await running
    await backend.close()
    assert not await backend.healthy()
    await job.release()


async def test_a_cancelled_job_is_cancelled_not_lost(backend: TritonBackend, tmp_path: Path) -> None:
    await backend.load("scripted")
    job = Waiting(tmp_path / "pipe")
    running = asyncio.create_task(backend.infer(work("scripted", job.body)))
    await job.arrived()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await job.release()


async def test_without_a_server_start_gives_up() -> None:
    backend = TritonBackend("127.0.0.1:9", start_timeout_seconds=0.2)
    assert not await backend.healthy()
    with pytest.raises(BackendLostError, match=r"no Triton server answers at 127\.0\.0\.1:9"):
        await backend.start()
    assert not await backend.healthy()
    await backend.close()
    with pytest.raises(BackendLostError, match="call start"):
        await backend.load("cats")
