"""What the consumers of the benchmarks compute."""

from __future__ import annotations

from typing import Any


async def echo(body: Any, message_id: str) -> Any:
    """Compute nothing, so that only the cost of the engine remains."""
    return body
