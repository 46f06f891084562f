"""The outcome of the demo's jobs, and how people see it: progress bars while results arrive, tables at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """What one consumer did for one label; p50 and p99 are of the seconds from a job's start to its result."""

    label: str
    consumer: str
    jobs: int
    misses: int
    load_seconds: float
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A sentence and the cosine of its embedding with the query's."""

    sentence: str
    cosine: float


@dataclass(slots=True)
class DemoRun:
    """The outcome of the jobs. `results` counts those that ended, `succeeded` the successes among them, and `computed` the
    results that consumers report to have written. `examples` has a line for people per label."""

    backend: str
    query: str
    posted: int = 0
    results: int = 0
    succeeded: int = 0
    computed: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def misses(self) -> int:
        """Loads that jobs had to wait for."""
        return sum(row.misses for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether every job has exactly one result, and that a success."""
        return self.posted == self.results == self.succeeded == self.computed > 0

    def as_json(self) -> dict[str, Any]:
        """All fields, for programs."""
        return asdict(self) | {"misses": self.misses, "ok": self.ok}


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
    for error, times in Counter(outcome.errors).most_common():
        console.print(f"[red]{times} ×[/red] {escape(error)}", highlight=False)
