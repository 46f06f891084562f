"""Log files of the local stack's processes: one for each name and port, kept for a week after the last write; their tails."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from .cache import cache_folder

#: Ports are chosen anew each time, so without a limit the files would accumulate.
KEPT_SECONDS = 7 * 86_400
#: Enough of a log to see the reason, and short enough for a terminal.
TAIL_LINES = 25


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


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of `text` that are not empty, indented for an error message."""
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (no output)"


def tail_of_file(path: Path) -> str:
    """The tail of a log file, or a line that says why it cannot be read."""
    try:
        return tail(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        return f"    (log not readable: {error})"
