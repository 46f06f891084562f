"""Which label is requested when: Poisson arrivals over labels whose popularity follows Zipf's law."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of `label`, posted `at` seconds after the start."""

    at: float
    label: str


def zipf_arrivals(*, labels: int, exponent: float, per_second: float, seconds: float, seed: int) -> list[Arrival]:
    """Arrivals in order of time; the share of the label of rank r is proportional to r to the power of -`exponent`."""
    chance = random.Random(seed)
    names = [label_name(rank) for rank in range(labels)]
    shares = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(labels)))
    times: list[float] = []
    at = chance.expovariate(per_second)
    while at < seconds:
        times.append(at)
        at += chance.expovariate(per_second)
    chosen = chance.choices(names, cum_weights=shares, k=len(times))
    return [Arrival(at, label) for at, label in zip(times, chosen, strict=True)]


def label_name(rank: int) -> str:
    """The label of a popularity rank, the most popular being 0."""
    return f"model-{rank:06d}"
