"""How long callers waited recently, for people who look now; Prometheus has its histogram."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .stats import LatencyStats

#: Waits that are kept: the latest KEPT, none older than KEPT_SECONDS.
KEPT = 2000
KEPT_SECONDS = 300.0


class Latency:
    """The latest waits of callers that got an answer, good or bad."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, float]] = deque(maxlen=KEPT)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time a block, unless it is cancelled, which means that its caller has left."""
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

    def summary(self) -> LatencyStats:
        """Quantiles of the waits that are kept."""
        since = time.monotonic() - KEPT_SECONDS
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        waits = sorted(seconds for _, seconds in self._ended)
        return LatencyStats(
            p50=_milliseconds(waits, 0.50),
            p95=_milliseconds(waits, 0.95),
            p99=_milliseconds(waits, 0.99),
            count=len(waits),
        )


def _milliseconds(waits: Sequence[float], share: float) -> float | None:
    """The quantile `share` of sorted waits in seconds, in milliseconds; None without waits."""
    return round(1000 * waits[min(len(waits) - 1, int(share * len(waits)))], 3) if waits else None
