"""Cases: one way to scale on one day. Which number scales the fleet: the library's measures, and what is usual elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_engine.operations.backlog import Measures

from ..clock import DAY
from .alarms import Settings, Start
from .plans import LabelPlan

#: The value that target tracking follows, from the measures of a moment and the desired count.
Metric = Callable[[Measures, int], float]

#: A guess from the jobs of one label; the mean over all jobs is different.
GUESSED_JOB_SECONDS = 1.0


def per_desired_task(measures: Measures, desired: int) -> float:
    """What the library publishes for target tracking."""
    return measures.backlog_seconds_per_desired_task


def per_running_task(measures: Measures, desired: int) -> float:
    """The same work divided by the running tasks."""
    running = max(1, measures.running_tasks)
    return measures.backlog_seconds_per_desired_task * max(running, desired) / running


def guessed(measures: Measures, desired: int) -> float:
    """Waiting messages per running task times the guess. Ignores lanes, loads, jobs in flight and jobs still to come."""
    return measures.jobs_visible * GUESSED_JOB_SECONDS / max(1, measures.running_tasks)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to scale, on one day.

    `metric` None is the oracle. `window_seconds` is how far back consumers look when they report how busy a label keeps
    them; 0 scales by the backlog alone. Without `offload`, labels stay on overloaded tasks.
    """

    name: str
    metric: Metric | None
    plans: Sequence[LabelPlan]
    settings: Settings = field(default_factory=Settings)
    start: Start = Start.RUNNING
    window_seconds: float = 300.0
    offload: bool = True
    seconds: float = DAY
    seed: int = 1
    protection: bool = True
    spot: bool = True
