"""What flow control is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """How the wait of a request ended; each request has exactly one."""

    DISPATCHED = "dispatched"
    QUEUE_FULL = "queue-full"
    TTL = "ttl"
    CALLER_LEFT = "caller-left"
    NO_CONSUMER = "no-consumer"
    SHUTTING_DOWN = "shutting-down"


class Refused(Exception):
    """A request that was not dispatched; `outcome` tells why, `retry_seconds` when another try may succeed."""

    def __init__(self, outcome: Outcome, detail: str, retry_seconds: float) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for one label: `limit` requests may be on their way at once; `served` is whether any consumer lives."""

    limit: int
    served: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of all that waits and is on its way; seconds and bytes.

    `requests` and `bytes` hold for each band, `bands` for how many are in use at once, `concurrency` for what is on its way over
    all labels. `ttl_seconds` is the longest wait for room, `patience_seconds` the longest for a consumer while none lives.
    """

    requests: int = 10_000
    bytes: int = 64 * 1024 * 1024
    bands: int = 8
    concurrency: int = 1000
    ttl_seconds: float = 60.0
    patience_seconds: float = 30.0
    order: Literal["fcfs", "edf"] = "fcfs"
