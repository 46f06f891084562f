"""The library's own consumers and producers on a virtual clock: fleets of up to 1,000, with deaths and silent labels."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from unittest import mock

from rich.console import Console

from ...report import Report
from .cases import Case, Outcome
from .experiment import simulate

COMMAND = "make bench ARGS=simulate"


def run(quick: bool, plots: Path) -> Report:
    """Simulate all cases, each in its own process, as many at once as there are processors."""
    # The processes of the cases import this package too, but need no plots.
    from . import findings

    sizes, long, deaths, silent = _sizes(quick), _long(quick), _deaths(quick), _silent(quick)
    # What is compared by its processor time runs twice.
    outcomes = _simulate_all([*sizes, *long, deaths, *silent, *silent])
    report = Report("simulate", "Simulation of large fleets", COMMAND)
    findings.fleets(report, [outcomes[one.name] for one in sizes], [outcomes[one.name] for one in long], plots)
    findings.deaths(report, outcomes[deaths.name])
    findings.silent(report, [outcomes[one.name] for one in silent], plots)
    report.notes.append(findings.HOW)
    return report


def _sizes(quick: bool) -> list[Case]:
    """Fleets that differ only in size, all for the same short time, which is what 1,000 consumers can be simulated for."""
    seconds, counts = (20, (10, 50)) if quick else (45, (10, 50, 200, 1_000))
    return [Case(f"{count:,} consumers", count, labels=100 * count, seconds=seconds) for count in counts]


def _long(quick: bool) -> list[Case]:
    """Small fleets for a long time: after the first loads of all labels, the choice of evictions matters."""
    if quick:
        return [Case("10 consumers, 2 minutes", 10, labels=100, seconds=120)]
    return [
        Case("10 consumers, 5 minutes", 10, labels=100, seconds=300),
        Case("50 consumers, 5 minutes", 50, labels=5_000, seconds=300),
    ]


def _deaths(quick: bool) -> Case:
    if quick:
        return Case("deaths", consumers=10, labels=100, seconds=90, deaths=3)
    return Case("deaths", consumers=50, labels=5_000, seconds=180, deaths=12)


def _silent(quick: bool) -> list[Case]:
    counts = (0, 1_000) if quick else (0, 1_000, 10_000, 100_000)
    fleet = Case("", consumers=20, labels=200, seconds=60 if quick else 240)
    return [replace(fleet, name=f"{count:,} silent labels", silent=count) for count in counts]


def _simulate_all(cases: Sequence[Case]) -> dict[str, Outcome]:
    """Outcomes by name; the costliest cases start first, so that no processor is idle at the end.

    If a case runs more than once, the least disturbed run counts: the runs differ only in processor time.
    """
    console = Console(stderr=True)
    outcomes: dict[str, Outcome] = {}
    # Sets of strings have a different order in each process unless the hash seed is set.
    with mock.patch.dict(os.environ, PYTHONHASHSEED="0"):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
            running = [pool.submit(simulate, one) for one in _costliest_first(cases)]
            for done in as_completed(running):
                outcome = done.result()
                earlier = outcomes.get(outcome.case.name, outcome)
                outcomes[outcome.case.name] = min(earlier, outcome, key=lambda one: one.cpu_seconds)
                console.print(
                    f"  {outcome.case.name}: {outcome.posts:,} jobs in {outcome.virtual_seconds:.0f} virtual and "
                    f"{outcome.wall_seconds:.0f} real seconds",
                    style="dim",
                )
    return outcomes


def _costliest_first(cases: Iterable[Case]) -> list[Case]:
    return sorted(cases, key=lambda one: -one.consumers * one.seconds)
