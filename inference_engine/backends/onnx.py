"""ONNX models in the consumer's own process, for machines on which Triton does not run.

Reads Triton's model repository (`<label>/<version>/model.onnx`); a version folder that has a tokenizer beside its
encoder is a text model, TEXT -> EMBEDDING. Needs the package `onnxruntime`, and `tokenizers` for text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendLostError, ModelInputError, ModelLoadError, how_to_install
from ..fleet.view import ModelSignature
from ..tensors import DATATYPES, TensorSpec, check_inputs, unsupported
from .base import LoadedModel, Work

__all__ = ["OnnxBackend"]

#: Triton's name for each of ONNX Runtime's tensor types.
TRITON_NAMES = {one.onnx_runtime: one.name for one in DATATYPES}

#: Triton's name for the platform of these models.
PLATFORM = "onnxruntime_onnx"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _OnnxModel:
    """A model in memory: its inputs, its outputs and how to run it (in a worker thread)."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Callable[[Arrays], Arrays]
    size_bytes: int


class OnnxBackend:
    """Runs the models of a repository folder with ONNX Runtime on `threads` worker threads, one core each.

    A job's body is a dict of input name to numpy array or nested lists, its result a dict of output name to array.
    """

    def __init__(self, repository: Path, threads: int = 2) -> None:
        self.repository = repository
        self.threads = threads
        self._models: dict[str, _OnnxModel] = {}
        self._workers: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Start the threads. Raises BackendLostError where the repository is not a folder or onnxruntime is missing."""
        if not self.repository.is_dir():
            raise BackendLostError(f"the model repository {self.repository} is not a folder; create it first")
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise BackendLostError(
                f"OnnxBackend needs onnxruntime; install it with: {how_to_install('onnx')}"
            ) from error
        if self._workers is None:
            self._workers = ThreadPoolExecutor(self.threads, thread_name_prefix="onnx")

    async def load(self, label: str) -> LoadedModel:
        """Load the label's highest version. Raises ModelLoadError with the folder and the reason."""
        if label not in self._models:
            try:
                self._models[label] = await self._in_thread(_load, _version_folder(self.repository, label))
            except (BackendLostError, ModelLoadError):
                raise
            except Exception as error:  # the runtime's errors have no common base
                raise ModelLoadError(
                    f"model {label!r} in {self.repository / label} cannot be loaded: {error}"
                ) from error
        model = self._models[label]
        signature = ModelSignature(label=label, platform=PLATFORM, inputs=model.inputs, outputs=model.outputs)
        return LoadedModel(label, model.size_bytes, signature)

    async def unload(self, label: str) -> None:
        """Forget the model; its memory is freed when its last job ends."""
        self._models.pop(label, None)

    async def infer(self, work: Work) -> Any:
        """The model's outputs for one job.

        Raises ModelInputError where the body does not fit, BackendError where the label is not loaded, BackendLostError
        where the backend is not started, and the runtime's own error for anything else.
        """
        model = self._models.get(work.label)
        if model is None:
            raise BackendError(f"model {work.label!r} is not loaded; load it first")
        arrays = check_inputs(work.label, work.body, model.inputs)
        try:
            return await self._in_thread(model.run, arrays)
        except UnicodeDecodeError as error:
            raise ModelInputError(f"model {work.label!r}: a string is not UTF-8 ({error}); send UTF-8 text") from error
        except Exception as error:
            if type(error).__name__ == "InvalidArgument":  # the runtime's error for a shape that does not fit inside it
                wanted = ", ".join(f"{spec.name!r} ({spec})" for spec in model.inputs)
                raise ModelInputError(f"model {work.label!r} refused its inputs {wanted}: {error}") from error
            raise

    async def healthy(self) -> bool:
        """Whether the threads run."""
        return self._workers is not None

    async def close(self) -> None:
        """Wait for running jobs, stop the threads, forget the models."""
        workers, self._workers = self._workers, None
        if workers:
            await asyncio.to_thread(workers.shutdown)
        self._models.clear()

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._workers is None:
            raise BackendLostError("the ONNX backend is not started; call start() first")
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)


def _version_folder(repository: Path, label: str) -> Path:
    """The folder of the label's highest version, the one that Triton serves."""
    folder = repository / label
    versions = [path for path in folder.glob("*") if path.name.isdigit() and (path / "model.onnx").is_file()]
    if not versions or Path(label).name != label:
        raise ModelLoadError(f"no model {label!r}: there is no {folder}/<version>/model.onnx; put the model there")
    return max(versions, key=lambda path: int(path.name))


def _load(folder: Path) -> _OnnxModel:
    size_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return _load_text(folder, size_bytes) if (folder / "tokenizer.json").exists() else _load_tensors(folder, size_bytes)


def _load_text(folder: Path, size_bytes: int) -> _OnnxModel:
    from ..models.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder(folder)

    def run(arrays: Arrays) -> Arrays:
        return {"EMBEDDING": encoder.encode([text.decode() for text in arrays["TEXT"]])}

    inputs = (TensorSpec("TEXT", "BYTES", (-1,)),)
    return _OnnxModel(inputs, (TensorSpec("EMBEDDING", "FP32", (-1, -1)),), run, size_bytes)


def _load_tensors(folder: Path, size_bytes: int) -> _OnnxModel:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = str(folder / "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
    if strange := unsupported(inputs):
        raise ModelLoadError(f"{path} has inputs of unsupported types: {', '.join(map(str, strange))}")
    names = [spec.name for spec in outputs]

    def run(arrays: Arrays) -> Arrays:
        feed = {name: _strings(array) if array.dtype == object else array for name, array in arrays.items()}
        return dict(zip(names, session.run(names, feed), strict=True))

    return _OnnxModel(inputs, outputs, run, size_bytes)


def _specs(nodes: Iterable[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(node.name, TRITON_NAMES.get(node.type, node.type), _shape(node)) for node in nodes)


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape)


def _strings(array: NDArray[Any]) -> NDArray[Any]:
    """The array with text for bytes: the runtime takes text where the wire has bytes."""
    return np.array([item.decode() for item in array.flat], dtype=object).reshape(array.shape)
