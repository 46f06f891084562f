"""Items per second through the whole engine, against tritonclient driving the same Triton server.

Both sides send the same bodies to the same loaded model, with the same number of requests in flight, in turn (A B A B) and
in one run. Emulator, Triton, consumer and producer share this machine's cores. The processor time of each is reported,
because on AWS the emulator's work runs elsewhere.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from inference_engine.local.triton import TritonServer
from inference_engine.local.triton_support import unavailable_reason
from inference_engine_demo.models import model_repository

from ..deployment import deployment
from ..plots import bars
from ..report import Aim, Report
from .rounds import Comparison, bench
from .workloads import Workload, pages, sentences, strips

COMMAND = "make bench ARGS=triton"
#: What an application sends for throughput: as many sentences as the model runs at once.
BULK_SENTENCES = 32
#: How much longer their rounds are: what a bulk costs at its start and end is not part of a rate.
BULK_ROUND = 2.5
#: The wanted share of the direct rate, for jobs of that size.
AIM_SHARE = 0.8
#: A stopping consumer waits for its polls; short polls keep that wait short.
POLL_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: workloads for each number of lanes, and how long."""

    workloads: dict[int, tuple[Workload, ...]]
    rounds: int
    round_seconds: float
    jobs_min: int


FULL = Plan(
    {
        1: (sentences(1), sentences(8), sentences(BULK_SENTENCES), strips(1), pages(1)),
        4: (sentences(1), sentences(BULK_SENTENCES)),
    },
    rounds=3,
    round_seconds=2.0,
    jobs_min=20,
)
QUICK = Plan({1: (sentences(1), sentences(BULK_SENTENCES))}, rounds=1, round_seconds=0.7, jobs_min=10)


def run(quick: bool, plots: Path) -> Report:
    """Compare both sides, and report where the processor time went."""
    report = Report("triton", "Triton: through the engine and directly", COMMAND)
    if reason := unavailable_reason():
        report.notes.append(f"Not measured: {reason}.")
        return report
    report.versions["tritonclient"] = version("tritonclient")
    found = list(_compare(QUICK if quick else FULL, report))
    (bulk,) = [one for one in found if (one.workload, one.lanes) == (sentences(BULK_SENTENCES), 1)]
    text = f"sentences per second, {BULK_SENTENCES} a job, against tritonclient on the same Triton"
    report.aims.append(Aim(text, bulk.share, "≥", AIM_SHARE))
    _rates(report, found)
    _processors(report, found)
    report.notes += _notes()
    shares = {_name(one): one.share for one in found}
    report.plots.append(
        bars(plots / "triton.svg", shares, x="share of the direct rate", title="Through the engine, against directly")
    )
    return report


def _compare(plan: Plan, report: Report) -> Iterator[Comparison]:
    console = Console(stderr=True)
    with (
        deployment(wait_time_seconds=POLL_SECONDS, bucket="bench-payloads") as deployed,
        TritonServer(model_repository(console.print)) as server,
    ):
        report.versions["Triton"] = _server_version(server)
        for lanes, workloads in plan.workloads.items():
            labels = sorted({workload.label for workload in workloads})
            with bench(deployed, server, labels, lanes) as running:
                for workload in workloads:
                    seconds = plan.round_seconds * (BULK_ROUND if workload.items == BULK_SENTENCES else 1)
                    one = running.compare(workload, rounds=plan.rounds, round_seconds=seconds, jobs_min=plan.jobs_min)
                    console.print(f"  {_name(one)}: {one.share:.2f} of direct", style="dim", highlight=False)
                    yield one


def _rates(report: Report, found: list[Comparison]) -> None:
    table = report.table(
        "Items per second, medians of rounds in turn",
        *("workload", "lanes", "in flight", "jobs a round", "tritonclient", "engine", "engine / tritonclient"),
    )
    for one in found:
        table.add(
            *(one.workload.name, one.lanes, one.concurrency, one.jobs),
            *(one.rate(one.direct), one.rate(one.engine), one.share),
        )


def _processors(report: Report, found: list[Comparison]) -> None:
    engine = ("emulator", "Triton", "consumer", "caller")
    table = report.table(
        "Processor seconds per 1,000 jobs, by process; cores that were busy",
        *("workload", "lanes", *engine, "cores", "direct: Triton", "direct: caller"),
    )
    for one in found:
        table.add(
            *(one.workload.name, one.lanes),
            *(one.cpu(one.engine, process) for process in engine),
            one.cores(one.engine),
            *(one.cpu(one.direct, process) for process in ("Triton", "caller")),
        )


def _notes() -> list[str]:
    return [
        f"The aim is for {BULK_SENTENCES} sentences a job, because an application that wants throughput sends that many: "
        "the model runs them at once, and they share the queue's cost. A job of one sentence costs the model "
        "a few milliseconds, and the three other processes on the same cores about as much again; such jobs are for latency.",
        f"All processes share {os.cpu_count()} cores. On AWS, SQS, DynamoDB and S3 do the emulator's part, and the "
        "caller is another machine; only the consumer remains beside Triton.",
        "Strips of text are the worst case for any queue: 110 kB to move for less than a millisecond of compute. Pages are "
        "2.5 MB in and 0.8 MB out, through S3. Applications that send compressed pictures, or references, pay less.",
        "Triton loads these models with one instance and one thread, as the demo does.",
    ]


def _name(one: Comparison) -> str:
    return one.workload.name if one.lanes == 1 else f"{one.workload.name}, {one.lanes} lanes"


def _server_version(server: TritonServer) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{server.http_url}/v2", timeout=10) as answer:
        return str(json.load(answer)["version"])
