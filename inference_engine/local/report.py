"""Output of the stack for people: live status, live progress, the demo's tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from .outcome import DemoRun
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


class Ticker:
    """Progress bars, one per label: `tick(label)` for each result."""

    def __init__(self, progress: Progress, totals: Mapping[str, int]) -> None:
        self._progress = progress
        self._tasks = {label: progress.add_task(escape(label), total=total) for label, total in totals.items()}

    def tick(self, label: str) -> None:
        """One more result of the label."""
        self._progress.advance(self._tasks[label])


@contextmanager
def live_progress(totals: Mapping[str, int]) -> Iterator[Ticker]:
    """Progress bars on standard error while results arrive; without a terminal only their last state is written."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Ticker(progress, totals)


def print_outcome(outcome: DemoRun) -> None:
    """Print the demo's tables to standard output."""
    console = Console()
    title = f"{outcome.results} results of {outcome.posted} jobs in {outcome.seconds:.1f} s, models run by {outcome.backend}"
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    table.add_column("consumer")
    for name in ("jobs", "misses", "load s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for row in outcome.rows:
        numbers = (f"{row.load_seconds:.2f}", f"{row.p50_seconds * 1000:.1f}", f"{row.p99_seconds * 1000:.1f}")
        table.add_row(escape(row.label), row.consumer, str(row.jobs), str(row.misses), *numbers)
    table.add_section()
    table.add_row("all", "", str(outcome.computed), str(outcome.misses))
    console.print(table)
    for label, text in outcome.examples.items():
        console.print(f"[bold]{escape(label)}[/bold]: {escape(text)}", highlight=False)
    console.print(f"\nnearest to [bold]{escape(outcome.query)}[/bold]", highlight=False)
    for neighbour in outcome.neighbours:
        console.print(f"  {neighbour.cosine:.3f}  {escape(neighbour.sentence)}", highlight=False)
    print_errors(console, outcome.errors)


def print_errors(console: Console, errors: Iterable[str]) -> None:
    """Print each different error once, with how often it occurred."""
    for error, times in Counter(errors).most_common():
        console.print(f"[red]{times} ×[/red] {escape(error)}", highlight=False)


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
