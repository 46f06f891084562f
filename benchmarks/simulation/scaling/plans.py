"""A day of jobs: the labels, and when their jobs arrive."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..arrivals import Arrival, Profile, between, changing_poisson, daytime, together
from ..clock import HOUR


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """One label: what its jobs cost a task, what it costs to load, how many tasks may serve it at once, when jobs arrive.

    `load` is how many tasks its jobs would keep busy at an hour of the day (0 to 24); `bulks` are (hour, jobs) posted at once;
    `lone` are hours at which a single job arrives.
    """

    name: str
    job_seconds: float
    load_seconds: float
    lanes: int = 1
    load: Profile | None = None
    bulks: tuple[tuple[float, int], ...] = ()
    lone: tuple[float, ...] = ()

    def arrivals(self, until: float, seed: int) -> list[Arrival]:
        """Its jobs up to `until` (seconds from midnight), in order. Poisson arrivals, costs within 50 % of the mean."""
        source = random.Random(f"{seed} {self.name}")
        times = [*self._poisson(source, until)]
        times += [hour * HOUR for hour, jobs in self.bulks for _ in range(jobs) if hour * HOUR < until]
        times += [hour * HOUR for hour in self.lone if hour * HOUR < until]
        return [Arrival(at, self.name, self.job_seconds * source.uniform(0.5, 1.5)) for at in sorted(times)]

    def _poisson(self, source: random.Random, until: float) -> Iterator[float]:
        load = self.load
        if load is not None:
            yield from changing_poisson(source, lambda hour: load(hour) / self.job_seconds, until)


def working_day(minor_labels: int = 18, load: float = 1.0) -> list[LabelPlan]:
    """A day of 24 labels, more than five tasks have slots for; `load` multiplies its load."""
    minor = [
        # They follow Zipf's law; together they keep about two tasks busy at two in the afternoon.
        LabelPlan(f"minor-{rank}", 1.0 + 0.5 * (rank % 5), 4.0 + rank % 7, load=daytime(load * 2.0 / (3.5 * rank)))
        for rank in range(1, minor_labels + 1)
    ]
    bursts = [between(hour, hour + 1 / 6, 5.0 * load) for hour in (9.5, 13.25, 17.0)]
    return [
        LabelPlan("search", 2.0, 8.0, lanes=6, load=daytime(2.5 * load)),
        LabelPlan("bursts", 1.5, 10.0, lanes=6, load=together(daytime(0.5 * load), *bursts)),
        # One lane and, for one hour, more work than one task can do: its jobs then wait for the lane.
        LabelPlan("hot", 1.5, 6.0, lanes=1, load=together(daytime(0.2 * load), between(10, 11, 1.0))),
        LabelPlan("bulk", 1.0, 12.0, lanes=8, bulks=((15.0, round(6_000 * load)), (20.5, round(2_000 * load)))),
        # Longer than the drain time of a consumer: only protection saves these jobs.
        LabelPlan("film", 150.0, 20.0, lanes=4, load=daytime(1.0 * load)),
        LabelPlan("night", 2.0, 10.0, lone=(0.5, 1.6, 2.4, 2.45, 3.7, 4.9, 22.9, 23.5)),
        *minor,
    ]


def hot_label(load: float = 3.0) -> list[LabelPlan]:
    """One label with one lane and, for two hours, more work than its lane can do."""
    return [LabelPlan("hot", 1.5, 6.0, lanes=1, load=between(1, 3, load))]


def work_seconds(days: Sequence[Sequence[Arrival]]) -> float:
    """What all jobs cost, in seconds of a task."""
    return sum(arrival.seconds for day in days for arrival in day)
