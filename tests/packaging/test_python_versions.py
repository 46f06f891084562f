"""The wheel on every version of Python that it supports. What runs these tests is one of them, which all other tests try."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from tests.support.installations import Installation, Wheel, install
from tests.support.interpreters import OTHERS, RUNNING, SUPPORTED, interpreter
from tests.support.project import PROJECT

pytestmark = pytest.mark.acceptance

on_each = pytest.mark.parametrize("version", OTHERS)


@pytest.fixture(scope="module")
def installed(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installation]:
    """The environment of a version: the wheel with all that its tests need."""

    @functools.cache
    def made(version: str) -> Installation:
        folder = tmp_path_factory.mktemp("installed") / f"python{version}"
        return install(wheel, "dev", folder, python=interpreter(version))

    return made


def test_what_runs_the_tests_is_supported() -> None:
    assert RUNNING in SUPPORTED


@on_each
def test_unit_tests_pass(installed: Callable[[str], Installation], version: str) -> None:
    report = installed(version).tests("-m", "unit", PROJECT / "tests")
    assert " passed" in report


@on_each
def test_the_readmes_ten_lines_run(
    installed: Callable[[str], Installation], version: str, aws_environment: str
) -> None:
    report = installed(version).tests(PROJECT / "tests" / "docs" / "test_readme.py")
    assert "1 passed" in report
