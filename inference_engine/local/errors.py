"""The exception of the one-machine stack, and log tails for its messages."""

from __future__ import annotations

from pathlib import Path

from ..errors import InferenceEngineError

#: Enough of a log to see the reason, and short enough for a terminal.
TAIL_LINES = 25


class LocalStackError(InferenceEngineError):
    """A part of the one-machine stack could not be set up, started or stopped."""


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
