"""Models on NVIDIA Triton, over gRPC, in explicit model-control mode (`--model-control-mode=explicit`).

`triton_wire.is_lost` and `TritonBackend._infer_error` decide what each of Triton's errors means:

* `BackendLostError`: the server does not answer (connection refused, reset or closed).
* `ModelLostError`, a `BackendLostError` for one label: the server answers but does not serve a label that was loaded,
  because it was restarted, somebody else unloaded the model, or the process of a Python model died. A model whose
  process died stays READY in Triton's index and fails every later job, so the label must be given up and loaded again.
  The next `load` here unloads it first, since loading a READY model does nothing.
* `ModelInputError`: the job does not fit; never retried.
* `BackendError`: this job failed in the model, or waited too long; it may be retried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from ...errors import BackendError, BackendLostError, ModelInputError, ModelLoadError
from ...fleet.view import ModelSignature
from ...models.store import ModelStore, folder_bytes
from ...tensors import check_inputs
from ..base import LoadedModel, Work
from .connection import TritonConnection
from .wire import Description, infer_inputs, is_dead_process, is_unserved, outputs_of, unservable, until

__all__ = ["ModelLostError", "TritonBackend"]


class ModelLostError(BackendLostError):
    """The server answers, but no longer serves this label: give the label up and load it again."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What is known about a loaded model."""

    description: Description
    size_bytes: int


@dataclass(eq=False, slots=True)
class _Move:
    """A load or unload in progress; how much memory it moved is known only if no other one ran meanwhile."""

    alone: bool


class TritonBackend:
    """Loads, runs and unloads a Triton server's models; a label is the model's name in the repository.

    `url` is the server's gRPC address. With a `store`, a label's model is brought into the server's repository before
    it is loaded, and kept there while it is loaded. `repository` is the server's model repository, if it can be read
    from here. `measure` returns the bytes of memory that the server uses now: its growth during a load is the model's
    size, unless another load or unload ran meanwhile. Otherwise the size is that of the model's files, 0 if unknown.
    `start_timeout_seconds` bounds the wait for a server that is still starting.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        store: ModelStore | None = None,
        repository: Path | None = None,
        measure: Callable[[], int] | None = None,
        start_timeout_seconds: float = 60,
        load_timeout_seconds: float = 300,
        infer_timeout_seconds: float = 300,
    ) -> None:
        self._server = TritonConnection(url)
        self._store = store
        self._repository = repository
        self._measure = measure
        self._start_timeout_seconds = start_timeout_seconds
        self._load_timeout_seconds = load_timeout_seconds
        self._infer_timeout_seconds = infer_timeout_seconds
        self._models: dict[str, _Model] = {}
        #: Labels that were lost but that the server still calls READY.
        self._suspects: set[str] = set()
        self._moves: list[_Move] = []

    async def start(self) -> None:
        """Connect and wait until the server is live. Raises BackendLostError after `start_timeout_seconds`."""
        await self._server.open(self._start_timeout_seconds)

    async def healthy(self) -> bool:
        """Whether the server answers within two seconds that it is live. Never raises."""
        return await self._server.healthy()

    async def close(self) -> None:
        """Close the connection; calls in flight raise BackendLostError. Loaded models stay in the server."""
        await self._server.close()

    # --- models ----------------------------------------------------------------------------------------------------

    async def load(self, label: str) -> LoadedModel:
        """Fetch the label's model from the store, have it loaded and read its description.

        Raises ModelLoadError with Triton's or the store's reason, BackendLostError where the server is gone.
        """
        # Pinned before it is fetched: the next model's fetch must not delete this one before Triton has read it.
        self._pin(label)
        try:
            with self._moving() as move:
                model = await self._load(label, move)
        except BaseException:
            if label not in self._models:
                self._unpin(label)
            raise
        self._models[label] = model
        found = model.description
        signature = ModelSignature(label=label, platform=found.platform, inputs=found.inputs, outputs=found.outputs)
        return LoadedModel(label, model.size_bytes, signature)

    async def unload(self, label: str) -> None:
        """Unload; returns when Triton's index no longer holds the model. Raises BackendError if it never does."""
        try:
            with self._moving():
                await self._unload_from_server(label)
        finally:
            self._models.pop(label, None)
            self._unpin(label)

    async def _load(self, label: str, move: _Move) -> _Model:
        file_bytes = await self._file_bytes(label)
        if label in self._suspects:
            await self._unload_from_server(label)
        before = self._measured_bytes()
        await self._load_on_server(label)
        description = await self._describe(label)
        growth = self._measured_bytes() - before if move.alone else 0
        known = self._models.get(label)
        return _Model(description, max(growth, 0) or (known.size_bytes if known else file_bytes))

    async def _file_bytes(self, label: str) -> int:
        if self._store is not None:
            return (await self._store.fetch(label)).size_bytes
        if self._repository is not None:
            return await asyncio.to_thread(folder_bytes, self._repository / label)
        return 0

    async def _load_on_server(self, label: str) -> None:
        try:
            await self._server.load(label, self._load_timeout_seconds)
            ready = await until(lambda: self._server.is_ready(label), self._load_timeout_seconds)
        except InferenceServerException as error:
            raise await self._load_error(label, error) from error
        if not ready:
            raise ModelLoadError(
                f"model {label!r} is still not ready {self._load_timeout_seconds:g} s after Triton loaded it: "
                "see the server's log, or raise load_timeout_seconds"
            )

    async def _load_error(self, label: str, error: InferenceServerException) -> ModelLoadError:
        if str(error.status()).endswith(".DEADLINE_EXCEEDED"):
            return ModelLoadError(
                f"model {label!r} did not load within {self._load_timeout_seconds:g} s: raise load_timeout_seconds"
            )
        if label not in await self._server.states():
            return ModelLoadError(
                f"no model of label {label!r} is in the repository of Triton at {self._server.url} "
                f"({error.message()}): put a folder of that name there, or give the backend a store that has it"
            )
        reason = (error.message() or "no reason given").strip()
        if "failed to poll" in reason:
            reason += "; its config.pbtxt is missing or cannot be read, see the server's log"
        return ModelLoadError(f"Triton could not load model {label!r}: {reason}")

    async def _describe(self, label: str) -> Description:
        """Triton's description of a loaded model. Unloads one that cannot be served here, and raises ModelLoadError."""
        try:
            description = await self._server.describe(label)
        except InferenceServerException as error:
            raise ModelLoadError(f"Triton does not describe model {label!r}: {error.message()}") from error
        if problem := unservable(description):
            await self._unload_from_server(label)
            raise ModelLoadError(f"model {label!r} cannot be served: {problem}")
        return description

    async def _unload_from_server(self, label: str) -> None:
        try:
            await self._server.unload(label)
        except InferenceServerException as error:
            # Triton may refuse to unload a model that it does not have; that counts as unloaded.
            if not await self._is_free(label):
                raise BackendError(f"Triton could not unload model {label!r}: {error.message()}") from error
        if label in self._suspects:
            # Its memory went with its process, and Triton waits forever for the job in which it died.
            self._suspects.discard(label)
            return
        if not await until(lambda: self._is_free(label), self._load_timeout_seconds):
            raise BackendError(
                f"model {label!r} is still in Triton's memory {self._load_timeout_seconds:g} s after its unload: "
                "jobs may be running in it; restart the server if it stays"
            )

    async def _is_free(self, label: str) -> bool:
        states = await self._server.states()
        return states.get(label, frozenset()) <= {"", "UNAVAILABLE"}

    def _pin(self, label: str) -> None:
        if self._store is not None:
            self._store.pin(label)

    def _unpin(self, label: str) -> None:
        if self._store is not None:
            self._store.unpin(label)

    # --- memory ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _moving(self) -> Iterator[_Move]:
        move = _Move(alone=not self._moves)
        for other in self._moves:
            other.alone = False
        self._moves.append(move)
        try:
            yield move
        finally:
            self._moves.remove(move)

    def _measured_bytes(self) -> int:
        return 0 if self._measure is None else self._measure()

    # --- jobs ------------------------------------------------------------------------------------------------------

    async def infer(self, work: Work) -> dict[str, NDArray[Any]]:
        """The model's outputs by name; BYTES as objects: `str` if all elements are valid UTF-8, else `bytes`.

        Raises ModelInputError, BackendLostError, ModelLostError or BackendError; see the top of this module.
        """
        model = self._models.get(work.label)
        if model is None:
            raise ModelLostError(f"model {work.label!r} is not loaded by this backend: load it first")
        arrays = check_inputs(work.label, work.body, model.description.inputs)
        inputs = infer_inputs(work.label, arrays)
        try:
            result = await self._server.infer(work.label, inputs, work.message_id, self._infer_timeout_seconds)
        except InferenceServerException as error:
            raise self._infer_error(work.label, model, error) from error
        return outputs_of(result)

    def _infer_error(self, label: str, model: _Model, error: InferenceServerException) -> BackendError:
        status, reason = str(error.status()), error.message() or "no reason given"
        if is_dead_process(reason):
            self._lose(label, model, still_ready=True)
            return ModelLostError(f"the process of model {label!r} died, load it again: {reason}")
        if is_unserved(error):
            self._lose(label, model, still_ready=False)
            return ModelLostError(f"Triton no longer serves model {label!r}, load it again: {reason}")
        if status.endswith(".INVALID_ARGUMENT"):
            return ModelInputError(f"Triton refused a job for model {label!r}: {reason}")
        if status.endswith(".DEADLINE_EXCEEDED"):
            return BackendError(
                f"a job for model {label!r} took over {self._infer_timeout_seconds:g} s: raise infer_timeout_seconds"
            )
        return BackendError(f"a job for model {label!r} failed in Triton: {reason}")

    def _lose(self, label: str, model: _Model, *, still_ready: bool) -> None:
        # A late answer to a job of the lost model must not remove a model that was loaded since.
        if self._models.get(label) is not model:
            return
        del self._models[label]
        if still_ready:
            self._suspects.add(label)
        else:
            self._unpin(label)
