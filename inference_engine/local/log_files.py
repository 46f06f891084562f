"""Log files of the local stack's processes: one for each name and port, kept for a week after the last write."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from .environments import cache_folder

#: Ports are chosen anew each time, so without a limit the files would accumulate.
KEPT_SECONDS = 7 * 86_400


def log_file(name: str, port: int) -> Path:
    """The log file of one process."""
    return folder() / f"{name}-{port}.log"


def remove_old() -> None:
    """Remove the files to which nothing was written for a week."""
    before = time.time() - KEPT_SECONDS
    for file in folder().glob("*.log"):
        # Another stack may have removed the file, or another user may own it.
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < before:
                file.unlink()


def folder() -> Path:
    """The folder of all log files."""
    return cache_folder() / "logs"
