"""Where the processes of the local stack log: a file for each name and port, kept while somebody may want to read it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from .environments import cache_folder

#: Ports are chosen anew each time, so that files would gather without end.
KEPT_SECONDS = 7 * 86_400


def log_file(name: str, port: int) -> Path:
    """The file of one process."""
    return folder() / f"{name}-{port}.log"


def remove_old() -> None:
    """Remove the files that nobody has written to for a week."""
    before = time.time() - KEPT_SECONDS
    for file in folder().glob("*.log"):
        # Another stack may have removed it, and somebody else's may not be ours to remove.
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < before:
                file.unlink()


def folder() -> Path:
    """Where all of them are."""
    return cache_folder() / "logs"
