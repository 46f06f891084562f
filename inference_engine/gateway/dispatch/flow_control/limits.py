"""Limits and outcomes of flow control."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class WaitOutcome(StrEnum):
    """How a request's wait ended; each request has exactly one."""

    DISPATCHED = "dispatched"
    QUEUE_FULL = "queue-full"
    TTL = "ttl"
    CALLER_LEFT = "caller-left"
    NO_CONSUMER = "no-consumer"
    SHUTTING_DOWN = "shutting-down"


class NotDispatched(Exception):
    """A request that was not dispatched; `outcome` is the reason, `retry_seconds` when another try may succeed."""

    def __init__(self, outcome: WaitOutcome, detail: str, retry_seconds: float) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Room:
    """The room of one label: at most `limit` requests may be on their way at once; `served` is whether any consumer lives."""

    limit: int
    served: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what waits and what is on its way; in seconds and bytes.

    `requests` and `bytes` apply to each band, `bands` is how many are in use at once, `concurrency` how many requests are on
    their way over all labels. `ttl_seconds` is the longest wait for room, `no_consumer_seconds` the longest for a consumer while
    none lives.
    """

    requests: int = 10_000
    bytes: int = 64 * 1024 * 1024
    bands: int = 8
    concurrency: int = 1000
    ttl_seconds: float = 60.0
    no_consumer_seconds: float = 30.0
    order: Literal["fcfs", "edf"] = "fcfs"
