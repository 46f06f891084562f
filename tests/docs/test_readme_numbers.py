"""Numbers of the README against what the benchmark beside them recorded last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.project import PROJECT

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
#: Rows of the table: what was measured, what is beside it, and the benchmark.
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| `make bench ARGS=(\w+)` \|$",
    (PROJECT / "README.md").read_text("utf-8"),
    re.MULTILINE,
)


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def test_rows_are_found() -> None:
    assert len(ROWS) > 5


@pytest.mark.parametrize(("what", "measured", "beside", "benchmark"), ROWS, ids=[row[0] for row in ROWS])
def test_numbers_are_those_that_were_recorded(what: str, measured: str, beside: str, benchmark: str) -> None:
    recorded = list(numbers(json.loads((PROJECT / "benchmarks" / "results" / f"{benchmark}.json").read_text("utf-8"))))
    shown = NUMBER.findall(f"{measured} {beside}")
    assert shown, what
    for number in shown:
        decimals = len(number.partition(".")[2])
        assert number in {f"{value:,.{decimals}f}" for value in recorded}, f"{what}: {number} is not in the results"
