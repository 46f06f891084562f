"""Lines of logs: what they quote of others cannot look like lines of its own."""

from __future__ import annotations

import logging
import sys

import pytest

from inference_engine import logs


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x1b[2K", "\x85", "\u2028", "\x00", "\x9b2K"])
def test_what_is_logged_of_a_caller_stays_on_its_line(separator: str) -> None:
    forged = f"m{separator}2026-01-01 00:00:00,000 ERROR   root: it burns"
    record = logging.getLogger("x").makeRecord(
        "x", logging.INFO, "f", 1, "asked for %s", (forged,), None, extra={"label": forged}
    )
    line = logs.TextFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert separator[0] not in line
    assert line.count(ascii(separator)[1:-1]) == 2


def test_words_of_all_languages_stay_as_they_are() -> None:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "größer 大", (), None)
    assert logs.TextFormatter().format(record).endswith("x: größer 大")


def test_an_exception_has_lines_of_its_own() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    lines = logs.TextFormatter().format(record).splitlines()
    assert lines[1].startswith("Traceback")
    assert lines[-2:] == ["ValueError: no", "way"]
