"""top: show in a terminal what a deployment does now."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import needs
from .common import Commands, add_json, add_settings, command, positive, print_json, print_table, with_aws

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..gateway.dispatch.stats import GatewayStats, StatusData
    from ..operations.overview import Overview


class Reading(NamedTuple):
    """A deployment at one moment, and the statistics of the gateway that reported it, if one did."""

    overview: Overview
    gateway: GatewayStats | None = None

    def as_json(self) -> dict[str, Any]:
        """The overview's fields; the gateway's are nested in one more, `gateway`."""
        told = self.overview.model_dump(mode="json")
        return told if self.gateway is None else {**told, "gateway": self.gateway.model_dump(mode="json")}


#: Makes a reading; its rates are computed from the overview before it.
Read = Callable[["Overview | None"], Awaitable[Reading]]
#: Shows a reading; the second argument says why there is no newer one, or is ''.
Show = Callable[[Reading, str], None]


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(
        commands,
        "top",
        "show labels, consumers and work as they change",
        "Show labels with their backlog and the consumers that hold them, consumers and totals, repeatedly until ctrl-C. Rates\n"
        "come from two readings, so the first has none. Where standard output is not a terminal, each reading is plain text.\n\n"
        "With --gateway nothing is read from AWS: the gateway reports what its status page shows, and its own callers and\n"
        "their latency. If it requires an operator's key, set INFERENCE_ENGINE_API_KEY. To see one job, use\n"
        "`inference-engine result ID --json`.",
        "  inference-engine top\n"
        "  inference-engine top --gateway http://127.0.0.1:8000\n"
        "  inference-engine top --environment prod --interval 5\n"
        "  inference-engine top --once\n"
        "  inference-engine top --once --json | jq .totals",
    )
    parser.add_argument(
        "--interval", type=positive, default=2.0, metavar="SECONDS", help="time between two readings (default: 2)"
    )
    parser.add_argument("--gateway", metavar="URL", help="read from this gateway instead of from AWS")
    parser.add_argument("--once", action="store_true", help="print one reading and exit")
    add_json(parser)
    add_settings(parser)
    parser.set_defaults(run=_top)


def _top(arguments: argparse.Namespace) -> int:
    interval = None if arguments.once else arguments.interval
    with _shower(arguments) as show:
        try:
            if arguments.gateway:
                asyncio.run(_watch(_from_gateway(arguments.gateway), show, interval))
            else:
                with_aws(arguments, lambda deployment: _watch(_from_aws(deployment), show, interval))
        except KeyboardInterrupt:
            return 0  # the usual way to quit
    return 0


def _from_aws(deployment: Deployment) -> Read:
    async def read(before: Overview | None) -> Reading:
        from ..operations.activity import read_activity

        return Reading((await read_activity(deployment, sweep_queues=0)).overview(before))

    return read


def _from_gateway(text: str) -> Read:
    from .gateway_status import check_url, read_status

    url = check_url(text)

    async def read(_before: Overview | None) -> Reading:
        answer: Future[StatusData] = Future()
        answer.set_running_or_notify_cancel()

        def ask() -> None:
            try:
                answer.set_result(read_status(url))
            except BaseException as error:
                answer.set_exception(error)

        # A daemon thread, not one of asyncio's: after ctrl-C nobody should wait for a gateway that hangs.
        threading.Thread(target=ask, name="inference-engine-top", daemon=True).start()
        status = await asyncio.wrap_future(answer)
        return Reading(status.overview, status.gateway)

    return read


async def _watch(read: Read, show: Show, interval: float | None) -> None:
    """Read and show every `interval` seconds, or once. If a later reading fails, the last good one is shown with the error."""
    from ..errors import TransportError

    reading: Reading | None = None
    while True:
        try:
            reading, trouble = await read(reading and reading.overview), ""
        except TransportError as error:
            if reading is None:
                raise
            trouble = str(error)
        show(reading, trouble)
        if interval is None:
            return
        await asyncio.sleep(interval)


@contextmanager
def _shower(arguments: argparse.Namespace) -> Iterator[Show]:
    """How to show a reading: as JSON, as plain text, or as tables that replace the previous ones."""
    if arguments.json:
        yield lambda reading, _trouble: print_json(reading.as_json())
    elif not sys.stdout.isatty():
        yield lambda reading, _trouble: _print_plain(reading)
    else:
        with needs("top"):
            from rich.console import Console
            from rich.live import Live

            from .top_tables import screen
        console = Console()
        if arguments.once:
            yield lambda reading, trouble: console.print(screen(*reading, trouble, console.width))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield lambda reading, trouble: live.update(
                screen(*reading, trouble, console.width, console.height), refresh=True
            )


def _print_plain(reading: Reading) -> None:
    """A reading as text for other programs to parse: a block each for totals, the gateway, labels and consumers."""
    overview, gateway = reading
    totals = overview.totals.model_dump()
    print_table(("TOTAL", "VALUE"), list(totals.items()))
    print()
    if gateway is not None:
        told = gateway.model_dump(include={"process", "waiting", "in_flight"})
        told |= {f"{name}_ms": value for name, value in gateway.latency_ms if name != "count"}
        print_table(("GATEWAY", "VALUE"), [*told.items(), *gateway.outcomes.items()])
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
