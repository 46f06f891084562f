"""Large bodies and results are read and written beside the event loop, so that health checks are answered meanwhile.

Two threads of their own: whoever sends large bodies takes none of those that calls to AWS use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")

#: Reading or writing JSON of more than this takes longer than others should wait for: some milliseconds.
LARGE_BYTES = 262_144
#: Also the number of bodies that are unpacked at once, before their size is known.
AT_ONCE = 2

_pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gateway-bodies")


async def run(function: Callable[..., Value], *arguments: object) -> Value:
    """The function's result, computed on one of the threads; a caller who leaves before its turn takes none."""
    return await asyncio.get_running_loop().run_in_executor(_pool, function, *arguments)


async def run_if(large: bool, function: Callable[..., Value], *arguments: object) -> Value:
    """The same for what is `large`; else at once."""
    return await run(function, *arguments) if large else function(*arguments)
