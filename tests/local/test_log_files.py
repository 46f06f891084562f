"""Logs of the local stack stay while somebody may want to read them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from inference_engine.local import log_files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", str(tmp_path))
    return tmp_path


def test_a_process_logs_to_a_file_of_its_own(cache: Path) -> None:
    assert log_files.log_file("triton", 8000) == cache / "logs" / "triton-8000.log"


def test_what_nobody_wrote_to_for_a_week_is_removed(cache: Path) -> None:
    old, lately = log_files.log_file("triton", 1), log_files.log_file("triton", 2)
    old.parent.mkdir()
    for file, age in ((old, log_files.KEPT_SECONDS + 60), (lately, log_files.KEPT_SECONDS - 60)):
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    (old.parent / "notes.txt").touch()
    (old.parent / "dangling.log").symlink_to(old.parent / "gone")
    log_files.remove_old()
    assert sorted(file.name for file in old.parent.iterdir()) == ["dangling.log", "notes.txt", "triton-2.log"]


def test_there_may_be_no_logs_yet(cache: Path) -> None:
    log_files.remove_old()
    assert not list(cache.iterdir())
