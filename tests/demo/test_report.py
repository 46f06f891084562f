"""What the demo tells of its jobs."""

import pytest

from inference_engine_demo.jobs import percentile, rows_of
from inference_engine_demo.report import DemoRun, Neighbour, Row, print_outcome


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 50) == 0.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0


def test_the_demos_rows_and_verdict() -> None:
    counts = {"jobs": 2, "misses": 1, "load_seconds": 0.5, "service_seconds": [0.2, 0.1]}
    rows = rows_of([{"consumer_id": "c", "labels": {"red": counts}}])
    assert rows == [Row("red", "c", 2, 1, 0.5, 0.1, 0.2)]
    assert DemoRun("triton", "q", posted=2, results=2, succeeded=2, computed=2).ok
    assert not DemoRun("triton", "q", posted=2, results=2, succeeded=2, computed=3).ok
    assert not DemoRun("triton", "q", posted=2, results=2, succeeded=1, computed=2).ok
    assert not DemoRun("triton", "q").ok


def test_an_error_of_many_jobs_is_shown_once_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = DemoRun("triton", "a query", posted=3, results=3, succeeded=0, computed=3)
    outcome.neighbours = [Neighbour("a sentence", 0.75)]
    outcome.examples = {"red": "python 0.98"}
    outcome.errors = ["red: out of luck", "red: out of luck", "blue: [lost]"]
    print_outcome(outcome)
    shown = capsys.readouterr().out
    assert "3 results of 3 jobs" in shown
    assert "red: python 0.98\n" in shown
    assert "0.750  a sentence\n" in shown
    assert shown.endswith("2 × red: out of luck\n1 × blue: [lost]\n")
