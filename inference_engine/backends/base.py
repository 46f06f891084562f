"""What a consumer needs of its backend, which computes the jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..fleet.view import ModelSignature


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a load brought into memory.

    `size_bytes` is measured (or the best known estimate); 0 means that loading costs no memory worth counting. `signature`
    describes the model's inputs and outputs to callers, where the backend knows them.
    """

    label: str
    size_bytes: int = 0
    signature: ModelSignature | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One job as a backend sees it: `body` is decoded (JSON values, or numpy arrays where the caller sent some)."""

    message_id: str
    label: str
    body: Any


class Backend(Protocol):
    """Loads, runs and unloads models by label.

    One consumer drives one backend from one asyncio loop. `infer` is called for many jobs at once; `load` and `unload` of
    one label never overlap, those of different labels may.
    """

    async def start(self) -> None:
        """Connect. Raises BackendLostError when there is nothing to connect to."""

    async def load(self, label: str) -> LoadedModel:
        """Make `label` ready. Raises ModelLoadError with the reason, or BackendLostError. Idempotent."""

    async def unload(self, label: str) -> None:
        """Free the label's memory; returns when it is free. An unknown label is no error."""

    async def infer(self, work: Work) -> Any:
        """The result of one job: anything the codec can carry.

        Raises ModelInputError for a body that does not fit (never retried), BackendLostError when the backend is gone
        (the job goes back to the queue); any other exception is retried with backoff.
        """

    async def healthy(self) -> bool:
        """Whether the backend answers now. Never raises."""

    async def close(self) -> None:
        """Release connections and threads; models that are loaded in another process stay there."""
