"""When jobs arrive that nobody waits for before posting the next: Poisson arrivals, at a constant or a changing rate."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .clock import MINUTE
from .labels import DrawLabel

#: A rate, or anything else that changes over the day, by the hour (0 to 24).
Profile = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of `label`, posted `at` seconds after the start. `seconds` is what it costs a task; 0 if the fleet decides that."""

    at: float
    label: str
    seconds: float = 0.0


def steady(draw_label: DrawLabel, *, per_second: float, seconds: float, seed: int) -> list[Arrival]:
    """Arrivals at a constant rate, in order of time."""
    source = random.Random(seed)
    times = list(poisson(source, per_second, 0.0, seconds))
    return [Arrival(at, draw_label(source)) for at in times]


def poisson(source: random.Random, per_second: float, begin: float, end: float) -> Iterator[float]:
    """Times from `begin` to `end`, at a constant rate above 0."""
    at = begin + source.expovariate(per_second)
    while at < end:
        yield at
        at += source.expovariate(per_second)


def changing_poisson(source: random.Random, per_second: Profile, end: float) -> Iterator[float]:
    """Times up to `end`, in seconds from midnight; each minute has the rate of its middle."""
    for minute in range(math.ceil(end / MINUTE)):
        rate = per_second((minute + 0.5) / 60)
        if rate > 0:
            yield from poisson(source, rate, minute * MINUTE, (minute + 1) * MINUTE)


def daytime(most: float) -> Profile:
    """People at work: nothing from ten in the evening to six in the morning, `most` at two in the afternoon."""

    def level(hour: float) -> float:
        return most * math.sin(math.pi * (hour - 6) / 16) if 6 <= hour < 22 else 0.0

    return level


def between(begin: float, end: float, level: float) -> Profile:
    """A constant level from one hour to another, otherwise none."""
    return lambda hour: level if begin <= hour < end else 0.0


def together(*profiles: Profile) -> Profile:
    """The sum of profiles."""
    return lambda hour: sum(profile(hour) for profile in profiles)
