"""Traces: who asks for which label when. Pure, and the same for the same seed.

A producer is synchronous: it waits, posts, has its result, and waits again. Waits and nominal durations of jobs together
give each event a nominal start and end; the order of nominal starts is the order of the trace, for all that replay it.
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
    """So many labels, in the order of their names."""
    width = len(str(count - 1))
    return [f"{prefix}-{number:0{width}d}" for number in range(count)]


def labels_of(trace: Trace) -> list[str]:
    """The labels in the order in which they are asked for: what a cache is judged by."""
    return [event.label for event in trace]


def uniform(labels: Sequence[str]) -> DrawLabel:
    """Each label as often as any other."""
    return lambda source: source.choice(labels)


def zipf(labels: Sequence[str], exponent: float = 1.0) -> DrawLabel:
    """The label of rank r as often as 1 / r ** exponent says; the first label is asked for most."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, len(labels) + 1)))
    return lambda source: source.choices(labels, cum_weights=weights)[0]


def normal_wait(mean_seconds: float, deviation_seconds: float) -> DrawWait:
    """Normal; what would be below zero is zero."""
    return lambda source: max(source.gauss(mean_seconds, deviation_seconds), 0.0)


def synchronous(
    draw_label: DrawLabel, draw_wait: DrawWait, *, requests: int, producers: int, job_seconds: float, seed: int
) -> list[Event]:
    """`requests` events of producers that each wait, post and have the result `job_seconds` later."""
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
    """Labels that arrive and vanish: each is asked for `posts` times and never again, `alive` of them at a time.

    The posts of those that live now are mixed at random; when one has had its last, the next one arrives.
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
