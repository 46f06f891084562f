"""The gateway's own numbers, for the status page and for other readers of its data."""

from __future__ import annotations

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
        description="host and process id; behind a load balancer, the next response may come from another process"
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
