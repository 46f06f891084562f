"""The experiments that replay a trace: which producer asks for which label, and the fleet that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inference_engine.settings import Settings

from ..simulation import traces
from ..simulation.labels import churn, in_order, names, uniform, zipf
from ..simulation.traces import Event
from .workers import Slept

#: The nominal duration of a job, in seconds: about what the published experiment's random dispatch took on average.
JOB_SECONDS = 0.3
#: What waits are divided by where time is compressed.
FACTOR = 10.0
#: The seed of all traces: with it, the first few hundred requests of case a miss a cache about as often as all 2,400 do.
SEED = 5
#: Models that only sleep: the times of a small ONNX Runtime model on Triton, divided by FACTOR as waits are.
SLEPT = Slept(load_seconds=0.03, unload_seconds=0.11, job_seconds=0.005)
#: The emulator looks again for a long poll after up to 0.1 s. One place in the ranking must be worth several of these intervals.
#: Otherwise the second consumer, which looks without waiting, takes what the first is about to receive.
INTERVAL_MIN_SECONDS = 0.3
#: Settings in seconds that matter relative to the time between requests and are compressed with it.
_COMPRESSED = ("placement_interval_seconds", "placement_idle_seconds", "host_cache_seconds", "turn_min_seconds")


@dataclass(frozen=True, slots=True)
class Published:
    """What the authors of the label-routing dispatcher published for the same experiment: misses, mean seconds of a task."""

    random_misses: int
    label_misses: int
    random_seconds: float
    label_seconds: float
    requests: int = 2400


@dataclass(frozen=True, slots=True)
class Case:
    """One experiment. `draw(requests)` makes its trace of about `requests` events."""

    name: str
    title: str
    labels: tuple[str, ...]
    consumers: int
    slots: int
    draw: Callable[[int], list[Event]]
    published: Published | None = None

    @property
    def fleet(self) -> str:
        """The fleet in words."""
        return f"{len(self.labels)} labels, {self.consumers} × {self.slots} slots"


def settings(factor: float) -> dict[str, Any]:
    """Settings of a deployment whose producers divide their nominal waits by `factor`.

    The wait of a long poll is a whole number of seconds, at least 1.
    """
    defaults = Settings.model_fields
    compressed = {name: max(defaults[name].default / factor, INTERVAL_MIN_SECONDS) for name in _COMPRESSED}
    return compressed | {"wait_time_seconds": max(round(defaults["wait_time_seconds"].default / factor), 1)}


def _published(name: str, count: int, wait_seconds: float, published: Published) -> Case:
    labels = names(count)

    def draw(requests: int) -> list[Event]:
        return traces.synchronous(
            *(uniform(labels), traces.normal_wait(wait_seconds, 1.0)),
            requests=requests,
            producers=2,
            job_seconds=JOB_SECONDS,
            seed=SEED,
        )

    return Case(name, "uniform", tuple(labels), 2, 2, draw, published)


def _zipf() -> Case:
    labels = names(100)

    def draw(requests: int) -> list[Event]:
        return traces.synchronous(
            *(zipf(labels), traces.normal_wait(1.0, 0.5)),
            requests=requests,
            producers=8,
            # As long as a miss on Triton as its wheel runs it: the other producers continue meanwhile.
            job_seconds=2.0,
            seed=SEED,
        )

    return Case("zipf", "Zipf's law", tuple(labels), 10, 3, draw)


def _churn(alive: int = 6, posts: int = 10) -> Case:
    labels = names(100)

    def draw(requests: int) -> list[Event]:
        drawn = churn(labels[: requests // posts], alive=alive, posts=posts, seed=SEED)
        return traces.synchronous(
            *(in_order(drawn), traces.normal_wait(0.75, 0.5)),
            requests=len(drawn),
            producers=2,
            job_seconds=JOB_SECONDS,
            seed=SEED,
        )

    return Case("churn", "arrive and vanish", tuple(labels), 2, 4, draw)


CASES = {
    case.name: case
    for case in (
        _published("a", 5, 2.5, Published(1448, 563, 0.3231, 0.1791)),
        _published("b", 4, 0.75, Published(1193, 138, 0.2483, 0.0639)),
        _zipf(),
        _churn(),
    )
}
