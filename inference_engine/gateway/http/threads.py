"""Large bodies and results are read and written off the event loop, so that health checks are answered meanwhile.

They have two threads of their own, so that callers with large bodies take no threads from calls to AWS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")

#: Reading or writing more JSON than this takes longer than other requests should wait: some milliseconds.
LARGE_BYTES = 262_144
#: Also the number of bodies that are unpacked at once, before their size is known.
AT_ONCE = 2

_pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gateway-bodies")


async def run(function: Callable[..., Value], *arguments: object) -> Value:
    """The function's result, computed on one of the threads; a caller that leaves before its turn takes none."""
    return await asyncio.get_running_loop().run_in_executor(_pool, function, *arguments)


async def run_if(large: bool, function: Callable[..., Value], *arguments: object) -> Value:
    """As `run` where `large`; otherwise called directly."""
    return await run(function, *arguments) if large else function(*arguments)
