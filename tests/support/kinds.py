"""Kinds of tests: what they need, and so which command runs them.

A test that needs an emulator shows it by its fixtures, and one of terraform/ by its folder. Others that are no unit tests
say their kind themselves, all of a file by `pytestmark`. What nobody marks is a unit test, and such a test fails where it
starts a process.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: From the quickest to the slowest; what each is, pyproject.toml says.
KINDS = ("unit", "integration", "faults", "infra", "acceptance")
#: Whoever asks for one of these has an emulator, or builds what takes seconds.
_OF_INTEGRATION = frozenset({"aws_environment", "lambda_platform_zips", "lambda_zips"})
_STARTS = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"})

_forbidden = False


def kind_of(item: pytest.Item) -> str:
    """The kind of a test. Raises UsageError where it is marked as two."""
    marked = {mark.name for mark in item.iter_markers() if mark.name in KINDS}
    if len(marked) > 1:
        raise pytest.UsageError(f"{item.nodeid} is marked as {' and as '.join(sorted(marked))}; a test is of one kind")
    if marked:
        return marked.pop()
    if "infra" in item.path.parts:
        return "infra"
    return "integration" if _OF_INTEGRATION & set(getattr(item, "fixturenames", ())) else "unit"


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The same tests, files with slow kinds first, so that at the end no worker has a long one while others rest."""
    slowest: dict[Path, int] = {}
    for item in items:
        slowest[item.path] = max(slowest.get(item.path, 0), KINDS.index(kind_of(item)))
    return sorted(items, key=lambda item: -slowest[item.path])


@contextlib.contextmanager
def without_processes() -> Iterator[None]:
    """Until the end of the block, starting a process is an error."""
    global _forbidden
    _forbidden = True
    try:
        yield
    finally:
        _forbidden = False


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    if _forbidden and event in _STARTS:
        raise AssertionError(f"a unit test starts a process ({event}); mark it as `integration`")


sys.addaudithook(_refuse)
