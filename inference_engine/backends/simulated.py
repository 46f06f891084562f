"""SimulatedBackend: jobs and loads that take time and compute nothing, to try routing without a model."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import BackendError
from .base import LoadedModel, Work

__all__ = ["SimulatedBackend"]


class SimulatedBackend:
    """Waits `job_seconds` for each job and `load_seconds` for each load.

    Labels, slots and misses are as with any other backend. A consumer runs as many jobs at once as it may have in flight. A
    job's result is `{"simulated": true, "label": …, "body": …}` with the job's own body.
    """

    def __init__(self, job_seconds: float = 0.0, load_seconds: float = 0.0) -> None:
        self.job_seconds = job_seconds
        self.load_seconds = load_seconds
        self._loaded: set[str] = set()

    async def start(self) -> None:
        """Nothing to connect to."""

    async def load(self, label: str) -> LoadedModel:
        if label not in self._loaded:
            await asyncio.sleep(self.load_seconds)
            self._loaded.add(label)
        return LoadedModel(label)

    async def unload(self, label: str) -> None:
        self._loaded.discard(label)

    async def infer(self, work: Work) -> Any:
        if work.label not in self._loaded:
            raise BackendError(f"label {work.label!r} is not loaded; load it first")
        await asyncio.sleep(self.job_seconds)
        return {"simulated": True, "label": work.label, "body": work.body}

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        self._loaded.clear()
