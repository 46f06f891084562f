"""Loads models when a job needs them, for a consumer that takes whatever job comes."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from inference_engine.backends.base import Backend, LoadedModel, Work


class OnDemandBackend:
    """Keeps the `slots` most recently used labels in `inner`; a job of another label waits for its load.

    The body of a job is `{"label": …, "body": …}`, its label is that of the single queue. One job at a time, as a worker
    without placement must: with two it could need more models than it has slots.
    """

    def __init__(self, inner: Backend, slots: int) -> None:
        self._inner = inner
        self._slots = slots
        self._held: OrderedDict[str, None] = OrderedDict()
        self._turn = asyncio.Lock()
        #: Called after each load with the label and the seconds that it took.
        self.on_load: Callable[[str, float], None] = lambda label, seconds: None

    async def start(self) -> None:
        """Connect."""
        await self._inner.start()

    async def load(self, label: str) -> LoadedModel:
        """The queue's own label has no model."""
        return LoadedModel(label)

    async def unload(self, label: str) -> None:
        """The consumer leaves: free all memory."""
        async with self._turn:
            await asyncio.gather(*(self._inner.unload(held) for held in self._held))
            self._held.clear()

    async def infer(self, work: Work) -> Any:
        """One job, after loading its model if necessary."""
        label, body = work.body["label"], work.body["body"]
        async with self._turn:
            await self._need(label)
            return await self._inner.infer(Work(work.message_id, label, body))

    async def healthy(self) -> bool:
        """Whether the backend answers."""
        return await self._inner.healthy()

    async def close(self) -> None:
        """Release connections."""
        await self._inner.close()

    async def _need(self, label: str) -> None:
        if label in self._held:
            self._held.move_to_end(label)
            return
        started = time.monotonic()
        if len(self._held) >= self._slots:
            coldest, _ = self._held.popitem(last=False)
            await self._inner.unload(coldest)
        await self._inner.load(label)
        self._held[label] = None
        self.on_load(label, time.monotonic() - started)
