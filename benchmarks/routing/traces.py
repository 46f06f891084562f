"""Traces: which producer asks for which label, and when. Pure; the same seed gives the same trace.

A producer is synchronous: it waits, posts, gets its result, and waits again. Waits and nominal durations of jobs together
give each event a nominal start and end; the order of nominal starts is the order of the trace in every replay.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

#: Draws the next label; draws a wait in seconds.
DrawLabel = Callable[[random.Random], str]
DrawWait = Callable[[random.Random], float]


@dataclass(frozen=True, slots=True)
class Event:
    """One blocking post: `producer` waits `wait_seconds` after its last one ended. Starts and ends in nominal seconds."""

    producer: int
    label: str
    wait_seconds: float
    starts_at: float
    ends_at: float


Trace = Sequence[Event]


def names(count: int, prefix: str = "label") -> list[str]:
    """`count` labels, in the order of their names."""
    width = len(str(count - 1))
    return [f"{prefix}-{number:0{width}d}" for number in range(count)]


def labels_of(trace: Trace) -> list[str]:
    """The labels in the order in which they are requested: what a cache is judged by."""
    return [event.label for event in trace]


def uniform(labels: Sequence[str]) -> DrawLabel:
    """Each label as often as any other."""
    return lambda source: source.choice(labels)


def zipf(labels: Sequence[str], exponent: float = 1.0) -> DrawLabel:
    """The label of rank r with a weight of 1 / r ** exponent; the first label is requested most."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, len(labels) + 1)))
    return lambda source: source.choices(labels, cum_weights=weights)[0]


def normal_wait(mean_seconds: float, deviation_seconds: float) -> DrawWait:
    """Normally distributed; negative values become zero."""
    return lambda source: max(source.gauss(mean_seconds, deviation_seconds), 0.0)


def synchronous(
    draw_label: DrawLabel, draw_wait: DrawWait, *, requests: int, producers: int, job_seconds: float, seed: int
) -> list[Event]:
    """`requests` events of producers that each wait, post and get the result `job_seconds` later."""
    source = random.Random(seed)
    trace: list[Event] = []
    turns: list[tuple[float, float, int]] = []

    def wait(producer: int, since: float) -> None:
        seconds = draw_wait(source)
        heapq.heappush(turns, (since + seconds, seconds, producer))

    for producer in range(producers):
        wait(producer, 0.0)
    while len(trace) < requests:
        starts_at, waited, producer = heapq.heappop(turns)
        trace.append(Event(producer, draw_label(source), waited, starts_at, starts_at + job_seconds))
        wait(producer, trace[-1].ends_at)
    return trace


def churn(labels: Sequence[str], *, alive: int, posts: int, seed: int) -> list[str]:
    """Labels that arrive and vanish: each is requested `posts` times and never again; `alive` labels live at a time.

    The posts of the living labels are mixed at random; after the last post of one, the next label arrives.
    """
    source = random.Random(seed)
    left = {label: posts for label in labels[:alive]}
    coming = iter(labels[alive:])
    drawn: list[str] = []
    while left:
        label = source.choice(list(left))
        drawn.append(label)
        left[label] -= 1
        if not left[label]:
            del left[label]
            if (arrived := next(coming, None)) is not None:
                left[arrived] = posts
    return drawn


def in_order(labels: Sequence[str]) -> DrawLabel:
    """The labels one after the other, as listed."""
    rest = iter(labels)
    return lambda source: next(rest)


def bulk(labels: Sequence[str], *, seed: int) -> list[str]:
    """The order in which a backlog's labels are posted, each with all of its jobs."""
    return random.Random(seed).sample(labels, len(labels))
