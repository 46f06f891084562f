"""The experiments of a run, each in its own process; those that mostly wait run side by side."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.report import ROOT, Report

from .summary import summarise

#: One command line of `python -m benchmarks.routing`.
Command = str
#: Commands that run one after the other; the strands of a stage run at the same time.
Strand = Sequence[Command]
Stage = Sequence[Strand]

#: Cases a and b mostly wait for Triton's unloads, so they can run side by side. Throughput is measured alone.
FULL: Sequence[Stage] = (
    (
        ("a --mode random --requests 200",),
        ("a --mode label --requests 200",),
        ("b --mode random --requests 120",),
        ("b --mode label --requests 120", "churn --slept --requests 200"),
    ),
    (("hot",),),
    (("zipf --mode label --requests 200",), ("bulk --labels 1000",)),
)
QUICK: Sequence[Stage] = (
    (
        ("a --mode random --slept --requests 24 --factor 20",),
        ("a b --mode label --slept --requests 24 --factor 20",),
        ("bulk --labels 30 --consumers 1",),
    ),
)


def run(quick: bool, plots: Path) -> Report:
    """Run the stages and summarise them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for stage in QUICK if quick else FULL:
            with ThreadPoolExecutor(len(stage)) as pool:
                list(pool.map(lambda strand: _run_strand(strand, folder), stage))
        return summarise(folder, plots, quick=quick)


def _run_strand(strand: Strand, folder: Path) -> None:
    for command in strand:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.routing", *command.split(), "--output", str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
