"""The backlog function as uploaded: how long a run takes and how much memory it needs, by the number of labels with work."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_engine.aws.queues import OutgoingMessage
from inference_engine.deployment import Deployment
from inference_engine.jobs.job import Job
from lambdas.package import build
from tests.support.lambdas import ARCHITECTURE, RUNTIME, function

from .deployment import EmulatedDeployment, deployment
from .proc import descendants, peak_bytes
from .report import Aim, Report

MEGABYTE = 1e6
#: What a run may take of the memory that Terraform gives the function.
AIM_BYTES = 256 * MEGABYTE
AIM_SECONDS = 3.0
WARM_RUNS = 3


@dataclass(frozen=True, slots=True)
class Runs:
    """Seconds of the invocation that starts the function and of the best warm one; peak memory in bytes."""

    labels: int
    cold_seconds: float
    warm_seconds: float
    peak_bytes: int


def run(quick: bool, plots: Path) -> Report:
    """Measure with few labels and with a thousand."""
    report = Report("lambdas", "The backlog function", "make bench ARGS=lambdas")
    table = report.table(
        "One run, of the zip in the emulator", "labels with work", "cold, s", "warm, s", "peak memory, MB"
    )
    found = list(_measured((10, 100) if quick else (10, 100, 1000)))
    for one in found:
        table.add(str(one.labels), one.cold_seconds, one.warm_seconds, round(one.peak_bytes / MEGABYTE))
    largest = found[-1]
    report.aims = [
        Aim(
            f"backlog function, seconds of a run with {largest.labels:,} labels",
            largest.warm_seconds,
            "≤",
            AIM_SECONDS,
            " s",
        ),
        Aim(
            f"backlog function, memory of a run with {largest.labels:,} labels",
            round(largest.peak_bytes / MEGABYTE),
            "≤",
            256,
            " MB",
        ),
    ]
    report.notes = [
        "The emulator's Lambda has a whole core. On AWS, processor time grows with memory (Lambda Developer Guide, "
        "'Configure Lambda function memory': a whole core at 1,769 MB). Terraform gives the function 512 MB."
    ]
    return report


def _measured(counts: tuple[int, ...]) -> Iterator[Runs]:
    with tempfile.TemporaryDirectory() as folder:
        zips = {path.stem: path for path in build(Path(folder), python=RUNTIME[6:], architecture=ARCHITECTURE)}
        for labels in counts:
            with deployment(prefix=f"labels{labels}") as deployed:
                asyncio.run(_fill(deployed, labels))
                yield _runs(deployed, zips["backlog_metrics"], labels)


async def _fill(deployed: EmulatedDeployment, labels: int) -> None:
    """Put a job in the queue of each label, as after a load request."""
    aws = Deployment.for_producer(deployed.settings)

    async def one(label: str) -> None:
        job = Job(label=label, request_id="r", body="1", submitted_at=time.time())
        await aws.queues.send(await aws.queues.of_label(label), OutgoingMessage(job.encode(), label, label))
        await aws.waiting.record(label)

    try:
        await asyncio.gather(*(one(f"label-{number}") for number in range(labels)))
    finally:
        await aws.close()


def _runs(deployed: EmulatedDeployment, archive: Path, labels: int) -> Runs:
    name = f"{deployed.settings.prefix}-backlog-metrics"
    assert deployed.emulator.pid is not None
    before = set(descendants(deployed.emulator.pid))
    with function("backlog-metrics", archive, deployed.settings) as client:
        cold = _invoke(client, name, labels)
        warm = min(_invoke(client, name, labels) for _ in range(WARM_RUNS))
        peak = max(peak_bytes(pid) for pid in set(descendants(deployed.emulator.pid)) - before)
    return Runs(labels, cold, warm, peak)


def _invoke(client: Any, name: str, labels: int) -> float:
    started = time.monotonic()
    answer = client.invoke(FunctionName=name)
    seconds = time.monotonic() - started
    measures = json.loads(answer["Payload"].read())
    if measures.get("active_labels") != labels:
        raise RuntimeError(f"of {labels} labels the function found {measures}")
    return seconds
