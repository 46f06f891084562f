"""Traces: which producer requests which label, and when. Pure; the same seed gives the same trace.

A producer is synchronous: it waits, posts, gets its result, and waits again. Waits and nominal durations of jobs together
give each event a nominal start and end; the order of nominal starts is the order of the trace in every replay.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .labels import DrawLabel

#: Draws a wait in seconds.
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


def labels_of(trace: Trace) -> list[str]:
    """The labels in the order in which they are requested: what a cache is judged by."""
    return [event.label for event in trace]


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
