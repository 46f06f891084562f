"""Progress of a long run, on standard error."""

from __future__ import annotations

from rich.console import Console

_console = Console(stderr=True)


def say(message: str) -> None:
    """One line of progress."""
    _console.print(f"  {message}", style="dim", markup=False, highlight=False)
