"""The producing side of a contender: takes commands as JSON lines on standard input, answers each with one on its output.

Imports only the standard library, because it runs in the environments of the peers.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

Handlers = Mapping[str, Callable[..., Any]]


def serve(contender: AbstractAsyncContextManager[Handlers]) -> None:
    """Answer commands `{"do": name, …arguments}` with the handler of that name, until the input ends.

    A handler, async or not, returns a dictionary; the answer adds the processor seconds that this process spent on it.
    """
    asyncio.run(_serve(contender))


async def _serve(contender: AbstractAsyncContextManager[Handlers]) -> None:
    # Output that libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    async with contender as handlers:
        # Read on a thread, so that background work continues between commands.
        while line := await asyncio.to_thread(sys.stdin.readline):
            arguments = json.loads(line)
            handler = handlers[arguments.pop("do")]
            before = time.process_time()
            answer = handler(**arguments)
            if inspect.isawaitable(answer):
                answer = await answer
            print(json.dumps({**answer, "cpu_seconds": time.process_time() - before}), file=answers, flush=True)


class Stopwatch:
    """Named moments, in seconds since the stopwatch was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.moments: dict[str, float] = {}

    def mark(self, name: str) -> None:
        """Record this moment under `name`."""
        self.moments[name] = self.seconds

    @property
    def seconds(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self._started
