"""What a job costs beside a million others in the same table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from inference_engine import Producer
from inference_engine.jobs.job import ResultStatus

from ..deployment import EmulatedDeployment, consumers
from ..proc import resident_bytes
from .records import with_records

LABEL = "echo"
#: Jobs before anything is counted: the label is loaded, connections are open.
WARM_UP_JOBS = 20
#: Bytes that a record takes in the emulator; records may use half of the machine's free memory.
EMULATOR_BYTES_PER_RECORD = 6_000


@dataclass(frozen=True, slots=True)
class Step:
    """The cost of a job with `records` others in the table; seconds, medians of rounds."""

    records: int
    requests_per_job: float
    seconds_per_job: float
    consumer_cpu_seconds_per_job: float
    post_seconds: float
    emulator_bytes: int


def fitting(counts: Iterable[int]) -> list[int]:
    """Those of `counts` that fit in this machine's memory."""
    return [count for count in counts if count * EMULATOR_BYTES_PER_RECORD < available_bytes() / 2]


def available_bytes() -> int:
    """Memory still available to processes (proc(5), meminfo)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def fill(deployed: EmulatedDeployment, records: int) -> EmulatedDeployment:
    """The same deployment with a table of finished jobs."""
    return with_records(deployed, records, ResultStatus.SUCCESS)


def measure(filled: EmulatedDeployment, records: int, *, jobs: int, posts: int, rounds: int) -> Step:
    """Run jobs in a table that holds `records`: `rounds` bulks, and `posts` blocking posts one by one."""
    assert filled.proxy is not None
    calls = filled.proxy.calls
    seconds, cpu, requests = [], [], []
    with (
        consumers(filled, 1, "--function", "benchmarks.functions:echo") as (consumer,),
        Producer(filled.settings) as producer,
    ):
        _bulk(producer, WARM_UP_JOBS)
        for _ in range(rounds):
            cpu_before, calls_before, started = consumer.cpu_seconds, calls.total(), time.monotonic()
            _bulk(producer, jobs)
            seconds.append((time.monotonic() - started) / jobs)
            cpu.append((consumer.cpu_seconds - cpu_before) / jobs)
            requests.append((calls.total() - calls_before) / jobs)
        lone = [_post(producer, number) for number in range(posts)]
    assert filled.emulator.pid is not None
    taken = resident_bytes(filled.emulator.pid)
    return Step(records, median(requests), median(seconds), median(cpu), median(lone), taken)


def _bulk(producer: Producer, jobs: int) -> None:
    ids = producer.post_many(range(jobs), LABEL)
    if failed := [response.error for response in producer.as_completed(ids) if not response.ok]:
        raise RuntimeError(f"{len(failed)} of {jobs} jobs failed, the first with {failed[0]}")


def _post(producer: Producer, number: int) -> float:
    started = time.monotonic()
    response = producer.post(number, LABEL)
    if not response.ok:
        raise RuntimeError(f"a job failed: {response.error}")
    return time.monotonic() - started
