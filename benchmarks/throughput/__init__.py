"""Throughput and latency from post to result: the library, a hand-written floor, and task queues from PyPI."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

from .. import plots as draw
from ..report import Aim, Report
from .measure import FULL, LABELS, QUICK, Result
from .ours import FLOOR, FLOOR_UNORDERED, OURS, OURS_LANES, OURS_THREADS, side_by_side
from .peers import one_by_one

_NOTES = (
    "By hand: a script with aioboto3 that makes the library's record writes (SUBMITTED and SUCCESS of a quick job, each "
    "conditional) and does nothing of the rest; see benchmarks/peers/floor.py. A group per label keeps a label's jobs in order, "
    "as the library does by default; a group per job does not, and is compared with lanes.",
    "A blocking post includes the emulator's own tick: a long poll notices a message after up to 0.1 s.",
)
_PEER_NOTES = (
    f"Peers: {FULL.peer_jobs} jobs a run, no labels, one standard queue, no order; each writes one record per job, its result, "
    "to DynamoDB, and reads each result separately.",
    "dramatiq has no result backend for AWS, and taskiq's only one keeps objects in S3 (tried, half as fast). Both use a "
    "DynamoDB backend of about twenty lines here; Celery brings its own.",
    "With batched sends, taskiq returns from a post before it has sent anything: the jobs submitted are in memory only.",
)


def run(quick: bool, plots: Path) -> Report:
    """Measure the library against the floor in turns and, unless `quick`, the peers after them."""
    report = Report("throughput", "Throughput and latency", "make bench ARGS=throughput")
    size = QUICK if quick else FULL
    ours = side_by_side(size, count=not quick)
    peers = {} if quick else one_by_one(size, report)
    report.versions["aioboto3"] = version("aioboto3")
    _tables(report, {**ours, **peers})
    _aims(report, ours, peers)
    rates = {result.name: result.median("rate") for result in (*ours.values(), *peers.values())}
    report.plots.append(draw.bars(plots / "throughput.svg", rates, x="jobs/s, submit to all collected", title="Jobs/s"))
    report.notes += [
        f"{size.jobs:,} jobs that do nothing, over {LABELS} labels, on the emulator; one consumer process, one producer "
        "process, everything warm; medians. Throughput aims against the floor are medians of the ratios of each turn.",
        *_NOTES,
        *(_PEER_NOTES if peers else ()),
    ]
    return report


def _tables(report: Report, results: Mapping[str, Result]) -> None:
    table = report.table(
        "Bulk",
        *("", "jobs/s, submit to all collected", "jobs/s, submit only", "AWS requests per job"),
        *("consumer CPU s per 1,000 jobs", "producer CPU s per 1,000 jobs"),
    )
    for result in results.values():
        rate, submit = result.median("rate"), result.median("submit_rate")
        table.add(
            result.name, rate, submit, result.requests, result.median("consumer_cpu"), result.median("producer_cpu")
        )
    table = report.table("Blocking posts, one after the other", "", "p50, ms", "p99, ms")
    for result in results.values():
        if result.posts:
            table.add(result.name, result.post_ms(0.5), result.post_ms(0.99))


def _aims(report: Report, ours: Mapping[str, Result], peers: Mapping[str, Result]) -> None:
    if peers:
        best = max(peers.values(), key=lambda result: result.median("rate"))
        times = ours[OURS].median("rate") / best.median("rate")
        report.aims.append(Aim(f"jobs/s against the best peer ({best.name})", times, "≥", 4.0, " ×"))
    ordered = _ratio(ours[OURS], ours[FLOOR])
    report.aims.append(Aim("jobs/s against the floor, a group per label", ordered, "≥", 0.7, " ×"))
    unordered = _ratio(ours[OURS_LANES], ours[FLOOR_UNORDERED])
    report.aims.append(Aim("jobs/s with 8 lanes against the floor, a group per job", unordered, "≥", 0.7, " ×"))
    post, floor = ours[OURS_THREADS].post_ms(0.5), ours[FLOOR].post_ms(0.5)
    assert post is not None
    assert floor is not None
    report.aims.append(Aim("blocking post p50 against the floor's round trip", post / floor, "≤", 1.5, " ×"))


def _ratio(ours: Result, floor: Result) -> float:
    """The median over the turns: both sides of a turn meet the same noise."""
    return median(mine.rate / bound.rate for mine, bound in zip(ours.runs, floor.runs, strict=True))
