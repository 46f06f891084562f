"""How tests wait: for what happens, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

#: How long anything that is waited for may take before it counts as hanging. Nothing is measured with it, and a test that
#: passes does not wait for it: it may be long, so that a busy machine is no failure.
HANG_SECONDS = 240.0


def eventually(condition: Callable[[], Any], what: str, seconds: float = HANG_SECONDS) -> Any:
    """Wait until a condition that no event tells of holds; its value."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


async def turns(count: int = 100) -> None:
    """Let everything on this loop go on that waits for nothing outside it."""
    for _ in range(count):
        await asyncio.sleep(0)
