"""The experiments that replay a trace: who asks for what, and the fleet that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inference_engine.settings import Settings

from . import traces
from .traces import Event
from .workers import Slept

#: The nominal duration of a job, in seconds: what the published experiment's random dispatch took on average.
JOB_SECONDS = 0.3
#: By how much waits are divided where time is compressed.
FACTOR = 10.0
#: All traces are drawn from this: one whose first few hundred requests miss a cache about as often as all 2,400 do.
SEED = 5
#: Models that are only slept for: what a small one of ONNX Runtime takes on Triton, divided by FACTOR as waits are.
SLEPT = Slept(load_seconds=0.03, unload_seconds=0.11, job_seconds=0.005)
#: The emulator wakes a long poll after up to 0.1 s. A consumer's place in line has to be worth several of those, else the
#: second one, which looks without waiting, takes what the first one is about to be given.
INTERVAL_MIN_SECONDS = 0.3
#: Settings in seconds that matter relative to the time between requests: compressed with it.
_COMPRESSED = ("placement_interval_seconds", "placement_idle_seconds", "host_cache_seconds", "turn_min_seconds")


@dataclass(frozen=True, slots=True)
class Published:
    """What the label-routing dispatcher's authors published of the same experiment: misses, mean seconds of a task."""

    random_misses: int
    label_misses: int
    random_seconds: float
    label_seconds: float
    requests: int = 2400


@dataclass(frozen=True, slots=True)
class Case:
    """One experiment. `draw(requests)` makes its trace of about so many events."""

    name: str
    title: str
    labels: tuple[str, ...]
    consumers: int
    slots: int
    draw: Callable[[int], list[Event]]
    published: Published | None = None

    @property
    def fleet(self) -> str:
        """In words."""
        return f"{len(self.labels)} labels, {self.consumers} × {self.slots} slots"


def settings(factor: float) -> dict[str, Any]:
    """Settings of a deployment whose producers wait `factor` times less than nominally.

    The wait of a long poll is a whole number of seconds, at least 1.
    """
    defaults = Settings.model_fields
    compressed = {name: max(defaults[name].default / factor, INTERVAL_MIN_SECONDS) for name in _COMPRESSED}
    return compressed | {"wait_time_seconds": max(round(defaults["wait_time_seconds"].default / factor), 1)}


def _published(name: str, count: int, wait_seconds: float, published: Published) -> Case:
    labels = traces.names(count)

    def draw(requests: int) -> list[Event]:
        return traces.synchronous(
            *(traces.uniform(labels), traces.normal_wait(wait_seconds, 1.0)),
            requests=requests,
            producers=2,
            job_seconds=JOB_SECONDS,
            seed=SEED,
        )

    return Case(name, "uniform", tuple(labels), 2, 2, draw, published)


def _zipf() -> Case:
    labels = traces.names(100)

    def draw(requests: int) -> list[Event]:
        return traces.synchronous(
            *(traces.zipf(labels), traces.normal_wait(1.0, 0.5)),
            requests=requests,
            producers=8,
            # A miss on Triton as the wheel has it: the other producers go on meanwhile.
            job_seconds=2.0,
            seed=SEED,
        )

    return Case("zipf", "Zipf's law", tuple(labels), 10, 3, draw)


def _churn(alive: int = 6, posts: int = 10) -> Case:
    labels = traces.names(100)

    def draw(requests: int) -> list[Event]:
        drawn = traces.churn(labels[: requests // posts], alive=alive, posts=posts, seed=SEED)
        return traces.synchronous(
            *(traces.in_order(drawn), traces.normal_wait(0.75, 0.5)),
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
