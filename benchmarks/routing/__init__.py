"""Label misses: label routing against random dispatch, beside the bound of one LRU cache over the whole fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Report


def run(quick: bool, plots: Path) -> Report:
    """All experiments, in processes of their own."""
    # Consumer processes import this package too, and draw no plots.
    from .suite import run as run_suite

    return run_suite(quick, plots)
