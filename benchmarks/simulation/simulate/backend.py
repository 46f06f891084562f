"""A backend that computes nothing and takes a set time for loads, unloads and jobs."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inference_engine.backends.base import LoadedModel, Work


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of virtual time; a label's load takes 0.5 to 1.5 times `load`, always the same for a label."""

    load: float = 2.0
    unload: float = 0.1
    job: float = 0.02

    def load_of(self, label: str) -> float:
        """Seconds that a label's model takes to load."""
        return self.load * (0.5 + zlib.crc32(label.encode()) % 1001 / 1000)


class SimulatedBackend:
    """One consumer's compute; `loading(label)` is called at the start of every load."""

    def __init__(self, durations: Durations, loading: Callable[[str], None]) -> None:
        self._durations = durations
        self._loading = loading
        self._held: set[str] = set()
        self._is_dead = False

    def kill(self) -> None:
        """The process dies: what it was computing never ends."""
        self._is_dead = True

    async def start(self) -> None:
        """Nothing to do."""

    async def load(self, label: str) -> LoadedModel:
        """Takes the label's load time; no memory."""
        self._loading(label)
        await self._take(self._durations.load_of(label))
        self._held.add(label)
        return LoadedModel(label)

    async def unload(self, label: str) -> None:
        """Takes the unload time."""
        await self._take(self._durations.unload)
        self._held.discard(label)

    async def infer(self, work: Work) -> Any:
        """Return the body; only for a loaded label."""
        if work.label not in self._held:
            raise RuntimeError(f"job of {work.label!r} for a consumer that holds {sorted(self._held)}")
        await self._take(self._durations.job)
        return work.body

    async def healthy(self) -> bool:
        """True until it is killed."""
        await self._take(0)
        return True

    async def close(self) -> None:
        """Nothing to release."""

    async def _take(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._is_dead:
            raise asyncio.CancelledError("the process is dead")
