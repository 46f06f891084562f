"""AWS requests per job and dollars per million jobs, counted by proxies, by caller and purpose."""

from __future__ import annotations

from pathlib import Path

from .. import plots as draw
from ..deployment import deployment
from ..report import Aim, Report
from . import tables
from .billing import READ_UNIT, SQS_FIFO_REQUEST, SQS_STANDARD_REQUEST, WRITE_UNIT
from .idle import idle_consumers
from .workloads import FULL, QUICK, Size, celery, ours, single_queue

_NOTES = (
    "Proxies between each process and the emulator count the requests, with default settings. 'All told' includes what a "
    "process calls in the background (leases, placement, empty long polls).",
    f"Dollars are list prices of us-east-1 per million: SQS FIFO requests ${SQS_FIFO_REQUEST}, standard "
    f"${SQS_STANDARD_REQUEST}, DynamoDB on-demand write units ${WRITE_UNIT}, read units ${READ_UNIT}. DynamoDB bills each "
    "statement and each key of a batch: sharing requests does not make them cheaper, but writing and reading less often does.",
    "The single-queue pattern: one send, put, receive, in-progress put, result put and delete per job, and one get a second "
    "per waiting caller; see benchmarks/peers/single_queue.py. Celery's only record of a job is its result.",
)


def run(quick: bool, plots: Path) -> Report:
    """Count the library's requests in three workloads and when idle, and those of two other systems."""
    report = Report("requests", "AWS requests and dollars per job", "make bench ARGS=requests")
    size = QUICK if quick else FULL
    with deployment() as deployed, idle_consumers(deployed, size.held) as idle:
        workloads = ours(deployed, size)
        others = {"single-queue pattern": single_queue(deployed, size)}
        if not quick:
            others |= celery(deployed, size, report)
        tables.wait_for(idle, size.idle_seconds)
        tables.operations(report, workloads, deployed.settings)
        tables.comparison(report, workloads, others)
        rates = tables.at_rest(report, idle)
    _aims(report, {name: phase.requests_per_job for name, phase in workloads.items()}, None if quick else rates)
    dollars = {"inference-engine": workloads["bulk"].dollars_per_million}
    dollars |= {name: phases["bulk"].dollars_per_million for name, phases in others.items()}
    title = "Dollars per million jobs, bulk"
    report.plots.append(draw.bars(plots / "requests.svg", dollars, x="dollars", title=title))
    report.notes += [*_NOTES, _sizes(size)]
    return report


def _aims(report: Report, requests: dict[str, float], idle: dict[int, float] | None) -> None:
    report.aims.append(Aim("AWS requests per job in bulk, all told", requests["bulk"], "≤", 0.6))
    report.aims.append(Aim("AWS requests of a lone synchronous post, all told (under 6)", requests["lone"], "≤", 5.99))
    if idle is not None:
        report.aims.append(
            Aim("AWS requests a minute of an idle consumer that holds 2 labels (under 20)", idle[2], "≤", 19.99)
        )


def _sizes(size: Size) -> str:
    return (
        f"Bulk: {size.bulk:,} jobs over 5 labels ({size.others:,} for the others). Steady: {size.per_second:g} posts a second "
        f"for {size.steady_seconds:g} s over 5 labels, each result awaited. Lone: {size.lone} synchronous posts, one after "
        f"the other with {size.pause_seconds:g} s between them."
    )
