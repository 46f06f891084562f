"""The layout that docs/architecture.md describes is the one that the code has."""

from __future__ import annotations

import re

import pytest

from docs import _architecture
from docs._architecture import PACKAGE, PAGE, Layout
from tests.support.project import PROJECT

#: What a level may have, so that it is taken in at once.
ROOMS_MAX = 10


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout()


def test_the_tree_and_the_counts_are_up_to_date(layout: Layout) -> None:
    page = PAGE.read_text("utf-8")
    assert _architecture.filled(page, layout) == page, "run: python docs/_architecture.py"


def test_no_modules_import_each_other_in_a_circle(layout: Layout) -> None:
    assert layout.circle() == []


def test_no_import_runs_upwards(layout: Layout) -> None:
    assert layout.upwards() == []


def test_no_small_room_has_a_single_door(layout: Layout) -> None:
    assert layout.small() == []


def test_every_room_is_read_in_one_sitting(layout: Layout) -> None:
    assert [module for module in layout.modules if _architecture.lines(module) > 350] == []


def test_the_gateway_s_level_is_taken_in_at_once(layout: Layout) -> None:
    assert len(layout.rooms(f"{PACKAGE}.gateway")) <= ROOMS_MAX


def test_every_room_says_what_it_is(layout: Layout) -> None:
    assert [module for module in layout.modules if not _architecture.purpose(module)] == []


def test_every_room_that_the_page_names_is_there(layout: Layout) -> None:
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE.read_text("utf-8"))
    assert len(named) > 30
    folders = ("", f"{PACKAGE}/", f"{PACKAGE}/gateway/")
    assert [name for name in named if not any((PROJECT / folder / name).is_file() for folder in folders)] == []
