"""What `local up` shows while the stack runs: each consumer's state and the labels that it has served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from .stack import LocalStack

WATCH_SECONDS = 1.0


def watch(stack: LocalStack) -> None:
    """Show what each consumer serves and has done, until interrupted; without a terminal, only changes of state."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(_status(stack), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(_status(stack), refresh=True)
    seen: dict[str, str] = {}
    while True:
        for consumer in stack.consumers:
            if seen.get(consumer.name) != (state := consumer.state):
                seen[consumer.name] = state
                console.print(f"{consumer.name} is {state}; log: {consumer.process.log_file}", soft_wrap=True)
        time.sleep(WATCH_SECONDS)


def _status(stack: LocalStack) -> Table:
    table = Table(title=f"local stack, models run by {stack.backend}; ctrl-C ends it", title_justify="left")
    for name in ("consumer", "state", "labels that it has served: jobs (misses)", "HTTP"):
        table.add_column(name)
    for consumer in stack.consumers:
        labels: Mapping[str, Any] = consumer.stats()["labels"]
        served = ", ".join(
            f"{label}: {counts['jobs']} ({counts['misses']})" for label, counts in sorted(labels.items())
        )
        table.add_row(consumer.name, consumer.state, escape(served) or "none yet", consumer.http_url)
    return table
