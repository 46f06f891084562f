"""Tasks that run beside their owner: held until they end, because asyncio itself keeps only weak references."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class TaskSet(Generic[Result]):
    """The tasks of one owner that have not ended. Unlike asyncio's TaskGroup, the error of one does not end the others."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[asyncio.Task[Result]]:
        return iter(self._tasks)

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run `work` in a task of its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ended(self) -> None:
        """Wait for the tasks that run now; their errors are not raised. If this is cancelled, so are they."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel the tasks and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await self.ended()
