"""What the fleet is scaled by: the library's measures, and what is usual elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from inference_engine.backlog import Measures

#: What target tracking goes by: of the measures of a moment, and the desired count.
Metric = Callable[[Measures, int], float]

#: A guess of someone who saw the jobs of one label; the mean over all jobs is another number.
GUESSED_JOB_SECONDS = 1.0


def per_desired_task(measures: Measures, desired: int) -> float:
    """What the library publishes for it."""
    return measures.backlog_seconds_per_desired_task


def per_running_task(measures: Measures, desired: int) -> float:
    """The same work, divided by the tasks that run."""
    running = max(1, measures.running_tasks)
    return measures.backlog_seconds_per_desired_task * max(running, desired) / running


def guessed(measures: Measures, desired: int) -> float:
    """Messages that wait, per running task, times the guess: no lanes, nothing in flight, no loads, nothing that comes."""
    return measures.jobs_visible * GUESSED_JOB_SECONDS / max(1, measures.running_tasks)
