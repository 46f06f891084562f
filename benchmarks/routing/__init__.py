"""Label misses: label routing against random dispatch, beside one LRU cache with all slots of the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Report


def run(quick: bool, plots: Path) -> Report:
    """Run all experiments, each in its own process."""
    # Consumer processes import this package too, but draw no plots.
    from .suite import run as run_suite

    return run_suite(quick, plots)
