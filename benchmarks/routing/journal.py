"""A journal of what a backend was asked to do, which explains each miss."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from inference_engine.backends.base import Backend, LoadedModel, Work


class JournalBackend:
    """Passes everything on to `inner` and appends a JSON line for each load, unload and job to `path`."""

    def __init__(self, inner: Backend, path: Path, consumer: str) -> None:
        self._inner = inner
        self._file = path.open("a", buffering=1)
        self._consumer = consumer

    async def start(self) -> None:
        """Connect."""
        await self._inner.start()

    async def load(self, label: str) -> LoadedModel:
        """A load, recorded when it begins and when it has ended."""
        self._write("load", label)
        model = await self._inner.load(label)
        self._write("loaded", label)
        return model

    async def unload(self, label: str) -> None:
        """An unload."""
        self._write("unload", label)
        await self._inner.unload(label)
        self._write("unloaded", label)

    async def infer(self, work: Work) -> Any:
        """A job."""
        self._write("job", work.label)
        return await self._inner.infer(work)

    async def healthy(self) -> bool:
        """Whether the backend answers."""
        return await self._inner.healthy()

    async def close(self) -> None:
        """Release connections."""
        await self._inner.close()
        self._file.close()

    def _write(self, what: str, label: str) -> None:
        entry = {"at": time.time(), "consumer": self._consumer, "what": what, "label": label}
        self._file.write(json.dumps(entry) + "\n")
