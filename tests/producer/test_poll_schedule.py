"""When to look at jobs: the pace of a line, and what is learnt of lone jobs."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from inference_engine.producer.poll_schedule import (
    FIRST_GUESS_MAX_SECONDS,
    HEAD_PART,
    LABELS_MAX,
    LATER,
    STALLED_PART,
    Latencies,
    Pace,
)


def test_a_line_that_does_not_move_is_looked_at_less_and_less() -> None:
    pace = Pace(100.0)
    pace.saw(0, 110.0)
    assert pace.next_look(20, 110.0) == STALLED_PART * 10
    pace.saw(0, 200.0)
    assert pace.next_look(20, 200.0) == STALLED_PART * 100


def test_a_line_that_moves_is_looked_at_when_a_part_of_its_head_should_have_ended() -> None:
    pace = Pace(0.0)
    for second in range(1, 6):
        pace.saw(10, float(second))
    assert pace.next_look(20, 5.0) == 0.1 * 20 * HEAD_PART
    assert pace.next_look(1, 5.0) == 0.1 * HEAD_PART


def test_a_line_that_moved_and_stands_still_is_not_looked_at_at_its_old_pace() -> None:
    pace = Pace(0.0)
    pace.saw(100, 1.0)
    pace.saw(0, 61.0)
    assert pace.next_look(20, 61.0) == STALLED_PART * 60


def test_nothing_is_known_of_a_new_label() -> None:
    assert Latencies().first_look("l") == 0.0


@given(st.floats(0.03, 2.0), st.integers())
def test_first_looks_settle_a_little_later_than_most_results(typical: float, seed: int) -> None:
    source = random.Random(seed)
    latencies = Latencies()
    looks, in_time = 0, 0
    for turn in range(600):
        latency = typical * source.uniform(0.8, 1.2)
        at = latencies.first_look("l") or 0.02
        latencies.looked("l", in_time=latency <= at)
        latencies.ended("l", latency)
        if turn >= 200:
            looks, in_time = looks + 1, in_time + (latency <= at)
    assert 0.65 < in_time / looks < 0.9
    assert 0.7 * typical < latencies.first_look("l") < 1.5 * typical


def test_one_label_miss_hardly_moves_what_is_known() -> None:
    latencies = Latencies()
    latencies.ended("l", 0.1)
    latencies.looked("l", in_time=False)
    latencies.ended("l", 5.0)
    assert latencies.first_look("l") <= 0.1 * LATER


def test_a_label_miss_as_the_first_job_makes_no_later_one_wait() -> None:
    latencies = Latencies()
    latencies.ended("l", 5.0)
    assert latencies.first_look("l") == FIRST_GUESS_MAX_SECONDS


def test_only_so_many_labels_are_remembered() -> None:
    latencies = Latencies()
    for number in range(LABELS_MAX + 1):
        latencies.ended(str(number), 1.0)
    assert latencies.first_look("0") == 0.0
    assert latencies.first_look(str(LABELS_MAX)) > 0
