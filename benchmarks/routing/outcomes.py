"""What was measured: numbers passed as JSON from the process that measured them to the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Mode = Literal["label", "random"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One trace with label routing or random dispatch. Waits were divided by `factor` (1 is real time); posts are blocking."""

    case: str
    mode: Mode
    factor: float
    requests: int
    misses: int
    bound: int
    mean_seconds: float
    p50_seconds: float
    p99_seconds: float
    seconds: float
    jobs_by_consumer: Sequence[int] = ()
    misses_by_consumer: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Bulk:
    """A backlog; `seconds` from the first post to the last result."""

    labels: int
    jobs: int
    slots: int
    misses: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Hot:
    """A label with `lanes` lanes; `holders` counts the consumers that computed its jobs."""

    lanes: int
    holders: int
    misses: int
    jobs_per_second: float


Outcome = TypeVar("Outcome", Replayed, Bulk, Hot)


def save(path: Path, outcomes: Sequence[Any]) -> None:
    """Write outcomes, for `load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n", "utf-8")


def load(path: Path, kind: type[Outcome]) -> list[Outcome]:
    """The outcomes in that file; none if there is no file."""
    if not path.exists():
        return []
    return [kind(**fields) for fields in json.loads(path.read_text("utf-8"))]


def replayed(folder: Path, case: str, mode: Mode) -> Replayed | None:
    """The outcome of one case in one mode, if it was measured."""
    return next(iter(load(folder / f"{case}-{mode}.json", Replayed)), None)
