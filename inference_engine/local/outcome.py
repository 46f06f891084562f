"""The outcome of the demo's jobs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """What one consumer did for one label; p50 and p99 are of the seconds from a job's start to its result."""

    label: str
    consumer: str
    jobs: int
    misses: int
    load_seconds: float
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A sentence and the cosine of its embedding with the query's."""

    sentence: str
    cosine: float


@dataclass(slots=True)
class DemoRun:
    """The outcome of the jobs. `results` counts those that ended, `succeeded` the successes among them, and `computed` the
    results that consumers report to have written. `examples` has a line for people per label."""

    backend: str
    query: str
    posted: int = 0
    results: int = 0
    succeeded: int = 0
    computed: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def misses(self) -> int:
        """Loads that jobs had to wait for."""
        return sum(row.misses for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether every job has exactly one result, and that a success."""
        return self.posted == self.results == self.succeeded == self.computed > 0

    def as_json(self) -> dict[str, Any]:
        """All fields, for programs."""
        return asdict(self) | {"misses": self.misses, "ok": self.ok}
