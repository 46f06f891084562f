"""A consumer's time, divided among the jobs that it computes at once."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.consumer.metrics import RECENT_SECONDS, Computation, ComputeTime, ConsumerMetrics, Recent


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_lone_job_is_charged_all_its_time() -> None:
    clock = Clock()
    with ComputeTime(clock).measure() as computation:
        clock.now += 2
    assert (computation.seconds, computation.share) == (2, 2)


def test_jobs_computed_together_share_their_time() -> None:
    clock = Clock()
    compute_time = ComputeTime(clock)
    with compute_time.measure() as long:
        clock.now += 1
        with compute_time.measure() as short:
            clock.now += 4
        clock.now += 1
    assert (short.seconds, short.share) == (4, 2)
    assert (long.seconds, long.share) == (6, 4)


def test_idle_time_is_charged_to_nobody() -> None:
    clock = Clock()
    compute_time = ComputeTime(clock)
    with compute_time.measure():
        clock.now += 1
    clock.now += 1000
    with compute_time.measure() as later:
        clock.now += 1
    assert later.share == 1


def test_a_job_that_fails_is_charged_as_well() -> None:
    clock = Clock()
    compute_time = ComputeTime(clock)
    failed: list[Computation] = []

    def fail() -> None:
        with compute_time.measure() as computation:
            failed.append(computation)
            clock.now += 3
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    with compute_time.measure() as after:
        clock.now += 1
    assert (failed[0].share, after.share) == (3, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.001, 10)), min_size=1, max_size=60))
def test_all_shares_together_are_the_time_in_which_anything_was_computed(steps: list[tuple[int, float]]) -> None:
    """Each step lets job number n begin, or end if it runs, and time pass."""
    clock = Clock()
    compute_time = ComputeTime(clock)
    running: dict[int, AbstractContextManager[Computation]] = {}
    computations: list[Computation] = []
    busy = 0.0
    for number, seconds in steps:
        if number in running:
            running.pop(number).__exit__(None, None, None)
        else:
            running[number] = compute_time.measure()
            computations.append(running[number].__enter__())
        busy += seconds if running else 0
        clock.now += seconds
    for computation in running.values():
        computation.__exit__(None, None, None)
    assert math.isclose(sum(computation.share for computation in computations), busy, rel_tol=1e-6, abs_tol=1e-6)
    assert all(computation.share <= computation.seconds + 1e-9 for computation in computations)


def test_what_was_done_of_late_is_forgotten_in_the_end() -> None:
    clock = Clock()
    recent = Recent(clock)
    for _ in range(60):
        clock.now += 10
        recent.add(4)
    assert recent.rate() == pytest.approx(0.4, rel=0.1)
    clock.now += RECENT_SECONDS / 2
    assert 0.2 < recent.rate() < 0.4
    clock.now += 2 * RECENT_SECONDS
    assert recent.rate() == 0
    recent.add(RECENT_SECONDS / 2)
    assert 0 < recent.rate() <= 0.5


def test_a_job_that_was_not_computed_leaves_the_means_alone() -> None:
    metrics = ConsumerMetrics()
    metrics.job_ended("resnet50", "SUCCESS", Computation(seconds=2, share=1))
    metrics.job_ended("resnet50", "ERROR")
    statistics = metrics.statistics("resnet50", 0, None)
    assert (statistics.jobs, statistics.service_seconds, statistics.task_seconds) == (2, 2, 1)
