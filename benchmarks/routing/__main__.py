"""`python -m benchmarks.routing a b`: run one or some of the experiments alone, for any length.

Cases a and b are the published experiment. With `--published` their producers wait in real time, as the published ones did: by
their nominal times, a takes about an hour in each mode, and b less than half of that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from . import bulk, hot, replay
from .cases import CASES, FACTOR, SLEPT
from .outcomes import Bulk, Hot, Mode, Replayed, save

MODES: tuple[Mode, ...] = ("label", "random")
console = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen experiments."""
    chosen = _parser().parse_args(arguments)
    for name in chosen.names:
        if name in CASES:
            for mode in MODES if chosen.mode == "both" else (chosen.mode,):
                _tell(f"{name}-{mode}", [_replay(chosen, name, mode)], chosen.output)
        elif name == "bulk":
            found = bulk.measure(
                chosen.labels,
                posts=chosen.posts,
                consumers=chosen.consumers,
                slots=8,
                journal=chosen.journal,
                told=console.print,
            )
            _tell(name, [found], chosen.output)
        else:
            _tell(name, hot.measure(chosen.lanes, consumers=max(chosen.lanes), told=console.print), chosen.output)
    return 0


def _replay(chosen: argparse.Namespace, name: str, mode: Mode) -> Replayed:
    return replay.measure(
        CASES[name],
        mode,
        requests=chosen.requests,
        factor=1.0 if chosen.published else chosen.factor,
        models=SLEPT if chosen.slept else None,
        journal=chosen.journal,
        told=console.print,
    )


def _tell(name: str, found: Sequence[Replayed | Bulk | Hot], folder: Path | None) -> None:
    for outcome in found:
        print(outcome, flush=True)
    if folder is not None:
        save(folder / f"{name}.json", found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    titles = [f"{case.name}: {case.title}" for case in CASES.values()]
    parser.add_argument("names", nargs="+", choices=[*CASES, "bulk", "hot"], help=", ".join([*titles, "bulk", "hot"]))
    parser.add_argument("--output", type=Path, help="folder for the numbers, as JSON")
    parser.add_argument("--journal", type=Path, help="file for each load, unload and job of all consumers")
    replayed = parser.add_argument_group("cases")
    replayed.add_argument("--mode", choices=(*MODES, "both"), default="both")
    replayed.add_argument("--random", dest="mode", action="store_const", const="random", help="--mode random")
    replayed.add_argument("--requests", type=int, default=2400)
    replayed.add_argument("--factor", type=float, default=FACTOR, help=f"divide all waits by this ({FACTOR:g})")
    replayed.add_argument("--published", action="store_true", help="wait in real time: --factor 1")
    replayed.add_argument("--slept", action="store_true", help="models that are only slept for, instead of Triton")
    others = parser.add_argument_group("bulk and hot")
    others.add_argument("--labels", type=int, default=1000, help="labels of the backlog")
    others.add_argument("--posts", type=int, default=2, help="jobs of each of its labels")
    others.add_argument("--consumers", type=int, default=4, help="consumers of the backlog, 8 slots each")
    others.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8], help="lanes of the hot labels")
    return parser


if __name__ == "__main__":
    sys.exit(main())
