"""The gateway's own numbers, for the status page and for other readers of its data."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from ...operations.overview import Overview


class LatencyStats(BaseModel):
    """How long callers waited recently, in milliseconds; None where there was no wait."""

    model_config = ConfigDict(frozen=True)

    p50: float | None
    p95: float | None
    p99: float | None
    count: int = Field(description="number of calls measured")


class BandStats(BaseModel):
    """Callers of one priority that wait for their turn."""

    model_config = ConfigDict(frozen=True)

    priority: int
    requests: int
    bytes: int


class FlowStats(BaseModel):
    """Flow control of this gateway process."""

    model_config = ConfigDict(frozen=True)

    waiting: int = Field(description="callers waiting for their turn")
    in_flight: int = Field(description="callers' jobs that are in flight")
    bands: list[BandStats] = Field(description="the most urgent first")
    outcomes: dict[str, int] = Field(description="requests by outcome, since this process started")


class GatewayStats(FlowStats):
    """Flow control of this gateway process, and how long its callers wait."""

    process: str = Field(
        description="name of the machine and process id; behind a load balancer, the next response may come from another process"
    )
    latency_ms: LatencyStats


class StatusData(BaseModel):
    """What the status page shows."""

    deployment: str = Field(description="the prefix of its queues and tables")
    now: float = Field(description="the gateway's clock, in Unix seconds")
    ready: bool
    paused: bool
    overview: Overview
    gateway: GatewayStats


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
