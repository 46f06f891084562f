"""What a benchmark reports: tables, plots, aims and whether they were met. As text, as JSON, as Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

ROOT = Path(__file__).parents[1]
#: Where a whole run leaves its numbers, which the pages of the documentation are made from.
RESULTS = Path(__file__).parent / "results"
DOCS = ROOT / "docs" / "benchmarks"

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Aim:
    """One promise: `measured` must be at most, at least or exactly `limit`."""

    text: str
    measured: float
    relation: Literal["≤", "≥", "="]
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise holds."""
        if self.relation == "=":
            return self.measured == self.limit
        return self.measured <= self.limit if self.relation == "≤" else self.measured >= self.limit


@dataclass(slots=True)
class Table:
    """Numbers side by side."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self.rows.append(cells)


@dataclass(slots=True)
class Report:
    """All that one benchmark found. `versions` gives the releases of what was measured beside the library."""

    name: str
    title: str
    command: str
    aims: list[Aim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def table(self, title: str, *columns: str) -> Table:
        """A new table of this report."""
        made = Table(title, columns)
        self.tables.append(made)
        return made

    def show(self, console: Console) -> None:
        """Print it."""
        console.rule(escape(self.title))
        for table in self.tables:
            _show(console, table)
        for aim in self.aims:
            mark = "[green]met[/green]" if aim.met else "[red]NOT met[/red]"
            console.print(f"  {mark}  {escape(_sentence(aim))}", highlight=False)
        for note in self.notes:
            console.print(f"  {escape(note)}", style="dim", highlight=False)

    def write(self, folder: Path) -> None:
        """Write it as JSON, with a description of the machine."""
        folder.mkdir(parents=True, exist_ok=True)
        data = asdict(self) | {"machine": machine()}
        for aim, entry in zip(self.aims, data["aims"], strict=True):
            entry["met"] = aim.met
        (folder / f"{self.name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "boto3": version("boto3")}


def load(folder: Path) -> list[Report]:
    """The reports of a whole run, by name."""
    reports = []
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text("utf-8"))
        data.pop("machine")
        data["aims"] = [Aim(**{key: aim[key] for key in aim if key != "met"}) for aim in data["aims"]]
        data["tables"] = [Table(**table) for table in data["tables"]]
        reports.append(Report(**data))
    return reports


def markdown_page(report: Report) -> str:
    """One report as a page of the documentation."""
    return "\n".join(_page(report)) + "\n"


def markdown_aims(reports: Sequence[Report]) -> str:
    """All aims in one table, each with the command that measures it again."""
    lines = ["| aim | wanted | measured | met | command |", "|---|---|---|---|---|"]
    for report in reports:
        for aim in report.aims:
            met = "yes" if aim.met else "**no**"
            wanted, measured = f"{aim.relation} {_text(aim.limit)}{aim.unit}", f"{_text(aim.measured)}{aim.unit}"
            lines.append(f"| {aim.text} | {wanted} | {measured} | {met} | `{report.command}` |")
    return "\n".join(lines) + "\n"


def _page(report: Report) -> Iterator[str]:
    yield f"# {report.title}\n"
    if report.versions:
        beside = ", ".join(f"{name} {release}" for name, release in sorted(report.versions.items()))
        yield f"Measured by `{report.command}` in {report.seconds:.0f} s, alongside {beside}.\n"
    else:
        yield f"Measured by `{report.command}` in {report.seconds:.0f} s.\n"
    for note in report.notes:
        yield f"{note}\n"
    for table in report.tables:
        yield f"## {table.title}\n"
        yield "| " + " | ".join(table.columns) + " |"
        yield "|" + "|".join("---" if index == 0 else "--:" for index in range(len(table.columns))) + "|"
        for row in table.rows:
            yield "| " + " | ".join(_text(cell) for cell in row) + " |"
        yield ""
    for plot in report.plots:
        yield f"![{report.title}]({plot})\n"


def _show(console: Console, table: Table) -> None:
    rich = RichTable(title=escape(table.title), title_justify="left")
    for index, column in enumerate(table.columns):
        rich.add_column(escape(column), justify="left" if index == 0 else "right")
    for row in table.rows:
        rich.add_row(*(escape(_text(cell)) for cell in row))
    console.print(rich)


def _sentence(aim: Aim) -> str:
    return f"{aim.text}: {_text(aim.measured)}{aim.unit} (wanted {aim.relation} {_text(aim.limit)}{aim.unit})"


def _text(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or cell == int(cell):
        return f"{int(cell):,}"
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.0f}"
