"""top: what happens in a deployment now, in a terminal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .common import Commands, add_json, add_settings, command, needs, positive, print_json, print_table, with_aws

if TYPE_CHECKING:
    from ..aws.connect import Aws
    from ..overview import Overview

#: Shows a reading; the second argument is why there is no newer one, or ''.
Show = Callable[["Overview", str], None]


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(
        commands,
        "top",
        "show labels, consumers and work as they change",
        "Show labels with their backlog, who holds them, consumers and sums, again and again until ctrl-C. Rates come from two\n"
        "readings, so the first has none. Where standard output is no terminal, each reading is plain text.",
        "  inference-engine top\n"
        "  inference-engine top --environment prod --interval 5\n"
        "  inference-engine top --once\n"
        "  inference-engine top --once --json | jq .totals",
    )
    parser.add_argument(
        "--interval", type=positive, default=2.0, metavar="SECONDS", help="time between two readings (default: 2)"
    )
    parser.add_argument("--once", action="store_true", help="print one reading and end")
    add_json(parser)
    add_settings(parser)
    parser.set_defaults(run=_top)


def _top(arguments: argparse.Namespace) -> int:
    with _shower(arguments) as show:
        try:
            with_aws(arguments, lambda aws: _watch(aws, show, None if arguments.once else arguments.interval))
        except KeyboardInterrupt:
            return 0  # how people leave it
    return 0


async def _watch(aws: Aws, show: Show, interval: float | None) -> None:
    """Read and show, every `interval` seconds for ever, or once. An error of a later reading is shown with the one before."""
    from ..aws.activity import read_activity
    from ..errors import TransportError

    overview: Overview | None = None
    while True:
        try:
            overview, trouble = (await read_activity(aws, sweep_queues=0)).overview(overview), ""
        except TransportError as error:
            if overview is None:
                raise
            trouble = str(error)
        show(overview, trouble)
        if interval is None:
            return
        await asyncio.sleep(interval)


@contextmanager
def _shower(arguments: argparse.Namespace) -> Iterator[Show]:
    """What shows a reading: JSON, plain text, or tables in the place of those before."""
    if arguments.json:
        yield lambda overview, _trouble: print_json(overview.model_dump(mode="json"))
    elif not sys.stdout.isatty():
        yield lambda overview, _trouble: _print_plain(overview)
    else:
        with needs("top"):
            from rich.console import Console
            from rich.live import Live

            from .top_tables import screen
        console = Console()
        if arguments.once:
            yield lambda overview, trouble: console.print(screen(overview, trouble, console.width))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda overview, trouble: live.update(
                screen(overview, trouble, console.width, console.height), refresh=True
            )


def _print_plain(overview: Overview) -> None:
    """A reading as text that other programs take apart: a block each for sums, labels and consumers."""
    totals = overview.totals.model_dump()
    print_table(("TOTAL", "VALUE"), [(name, value) for name, value in totals.items()])
    print()
    fields = ("label", "state", "visible", "in_flight", "oldest_age_seconds", "backlog_seconds", "hosts", "lanes")
    _print_rows((*fields, "jobs_per_second", "busy", "service_seconds", "task_seconds"), overview.labels)
    print()
    fields = ("consumer_id", "state", "slots", "free_slots", "in_flight", "jobs", "jobs_per_second", "misses")
    holds = [(", ".join(row.loaded) or None, ", ".join(row.loading) or None) for row in overview.consumers]
    rows = [
        (*(getattr(row, field) for field in fields), *held) for row, held in zip(overview.consumers, holds, strict=True)
    ]
    print_table([_head(field) for field in (*fields, "loaded", "loading")], rows)
    sys.stdout.flush()


def _print_rows(fields: tuple[str, ...], rows: tuple[object, ...]) -> None:
    print_table([_head(field) for field in fields], [[getattr(row, field) for field in fields] for row in rows])


def _head(field: str) -> str:
    return field.upper().replace("_", " ")
