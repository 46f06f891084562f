"""`python -m benchmarks`: run benchmarks, print what they found, leave numbers and plots for the documentation."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from . import report as reports
from .report import Report

#: In the order of the documentation. Each is a module or package with `run(quick, plots) -> Report`.
SUITES = {
    "routing": "benchmarks.routing",
    "simulate": "benchmarks.simulation.simulate",
    "requests": "benchmarks.requests",
    "throughput": "benchmarks.throughput",
    "triton": "benchmarks.triton",
    "growth": "benchmarks.growth",
    "scaling": "benchmarks.simulation.scaling",
    "lambdas": "benchmarks.lambdas",
    "flow": "benchmarks.flow",
    "gateway": "benchmarks.gateway",
}
NAMES = tuple(SUITES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; return 1 when an aim was not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help=f"which: {', '.join(NAMES)} (all)")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: about three minutes for all, for a first impression"
    )
    parser.add_argument("--output", type=Path, help="folder for JSON and plots (a whole run's: the repository's own)")
    chosen = parser.parse_args(arguments)
    names = chosen.names or list(NAMES)
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        output = chosen.output or (Path(scratch) if chosen.quick else None)
        found = [_run(name, chosen.quick, output or reports.DOCS, console) for name in names]
        for report in found:
            report.write(output or reports.RESULTS)
    if output is None:
        write_pages()
        console.print(f"numbers in {reports.RESULTS}, pages and plots in {reports.DOCS}")
    return 0 if all(aim.met for report in found for aim in report.aims) else 1


def write_pages() -> None:
    """Write the documentation's pages from the numbers of the last whole runs."""
    found = sorted(reports.load(reports.RESULTS), key=lambda report: NAMES.index(report.name))
    reports.DOCS.mkdir(parents=True, exist_ok=True)
    for report in found:
        (reports.DOCS / f"{report.name}.md").write_text(reports.markdown_page(report), "utf-8")
    (reports.DOCS / "aims.md").write_text(reports.markdown_aims(found), "utf-8")


def _run(name: str, quick: bool, plots: Path, console: Console) -> Report:
    run: Callable[[bool, Path], Report] = importlib.import_module(SUITES[name]).run
    console.print(f"[bold]{name}[/bold] …")
    started = time.monotonic()
    report = run(quick, plots)
    report.seconds = time.monotonic() - started
    report.show(console)
    return report


if __name__ == "__main__":
    sys.exit(main())
