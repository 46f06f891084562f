"""How long callers waited of late, for people who look now; Prometheus has its histogram."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

#: Waits that are kept: quantiles of the last so many, none older than so many seconds.
KEPT = 2000
KEPT_SECONDS = 300.0


class Latency:
    """The latest waits of callers who got an answer, good or bad."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, float]] = deque(maxlen=KEPT)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time a block, unless it was cancelled: then its caller has left."""
        started = time.monotonic()
        try:
            yield
        except asyncio.CancelledError:
            raise
        except Exception:
            self._add(started)
            raise
        self._add(started)

    def _add(self, started: float) -> None:
        now = time.monotonic()
        self._ended.append((now, now - started))

    def summary(self) -> dict[str, float | int | None]:
        """Quantiles in milliseconds, None without a wait, and how many waits they are of."""
        since = time.monotonic() - KEPT_SECONDS
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        waits = sorted(seconds for _, seconds in self._ended)
        quantiles = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
        told = {
            name: round(1000 * waits[min(len(waits) - 1, int(share * len(waits)))], 3) if waits else None
            for name, share in quantiles.items()
        }
        return {**told, "count": len(waits)}
