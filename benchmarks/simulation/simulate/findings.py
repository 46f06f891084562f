"""What the outcomes show: tables, aims, plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ... import plots as draw
from ...report import Aim, Report
from .cases import Outcome
from .fleet import CONSUMERS_PER_CELL

HOW = (
    "The library's own AsyncConsumer and AsyncProducer run on a virtual clock against SQS and DynamoDB in memory (5 ms a "
    "call), with production settings, 3 slots a consumer, loads of 1 to 3 s, jobs of 20 ms, Zipf arrivals "
    f"(exponent 1.2) of 0.5 jobs a second per consumer, cells of {CONSUMERS_PER_CELL} consumers, one producer a cell. "
    "The bound is one LRU cache of all slots. Waits are virtual seconds from post to result and include the first load of "
    "every label. Deciding is what the library does to place labels: registry, placement queue, ranking."
)

#: Misses for each miss of the bound.
MISSES_LIMIT = 1.05
#: Five mean loads: a fleet that keeps up answers nearly all jobs within that.
WAIT_P99_LIMIT_SECONDS = 10.0
#: How much a fleet twenty times as large, or labels that nobody asks for, may multiply the requests.
GROWTH_LIMIT = 1.1
#: The same for processor time, which is measured rather than counted.
CPU_GROWTH_LIMIT = 1.25


def fleets(report: Report, sizes: Sequence[Outcome], long: Sequence[Outcome], plots: Path) -> None:
    """How fleets of different sizes perform, and some of them over a longer time."""
    outcomes = [*sizes, *long]
    _misses_table(report, outcomes)
    _cost_table(report, outcomes)
    worst = max(outcomes, key=lambda one: one.misses_to_bound)
    slowest = max(outcomes, key=lambda one: one.wait(0.99))
    biggest, reference = sizes[-1], _one_cell(sizes)
    report.aims += [
        Aim(
            f"simulation, misses / bound, worst of {len(outcomes)} fleets ({worst.case.name})",
            worst.misses_to_bound,
            "≤",
            MISSES_LIMIT,
        ),
        Aim(
            f"simulation, wait p99, worst of {len(outcomes)} fleets ({slowest.case.name})",
            slowest.wait(0.99),
            "≤",
            WAIT_P99_LIMIT_SECONDS,
            " s",
        ),
        Aim("simulation, jobs without their result, all fleets", sum(one.lost for one in outcomes), "=", 0),
    ]
    if biggest is not reference:
        report.aims.append(
            Aim(
                f"simulation, requests to decide per consumer and second, {biggest.case.name} / {reference.case.name}",
                _rate(biggest, biggest.deciding_requests) / _rate(reference, reference.deciding_requests),
                "≤",
                GROWTH_LIMIT,
            )
        )
    _size_plots(report, sizes, plots)


def deaths(report: Report, outcome: Outcome) -> None:
    """How a fleet performs when its consumers die."""
    table = report.table(
        "Consumers killed without warning, each replaced 20 s later",
        *("consumers", "deaths", "jobs", "results", "misses / bound", "wait p50 s", "wait p99 s", "longest wait s"),
    )
    table.add(
        outcome.case.consumers,
        outcome.case.deaths,
        outcome.posts,
        outcome.results,
        outcome.misses_to_bound,
        outcome.wait(0.5),
        outcome.wait(0.99),
        outcome.wait(1),
    )
    aim = f"simulation, jobs without their result, {outcome.case.deaths} of {outcome.case.consumers} consumers killed"
    report.aims.append(Aim(aim, outcome.lost, "=", 0))


def silent(report: Report, outcomes: Sequence[Outcome], plots: Path) -> None:
    """What labels cost when nobody asks for them."""
    table = report.table(
        "Labels that nobody asks for, beside the same 200 that are asked for",
        *("silent labels", "jobs", "misses", "requests to decide / job", "requests / job"),
        *("CPU of deciding, ms / job", "CPU of all, ms / job", "wait p99 s"),
    )
    for one in outcomes:
        table.add(
            one.case.silent,
            one.posts,
            one.misses,
            one.deciding_requests / one.posts,
            one.requests / one.posts,
            one.deciding_seconds / one.posts * 1000,
            one.cpu_seconds / one.posts * 1000,
            one.wait(0.99),
        )
    first, last = outcomes[0], outcomes[-1]
    report.aims += [
        Aim(
            f"simulation, requests per job, {last.case.name} / none",
            (last.requests / last.posts) / (first.requests / first.posts),
            "≤",
            GROWTH_LIMIT,
        ),
        Aim(
            f"simulation, CPU per job, {last.case.name} / none",
            (last.cpu_seconds / last.posts) / (first.cpu_seconds / first.posts),
            "≤",
            CPU_GROWTH_LIMIT,
        ),
    ]
    counts = [float(max(one.case.silent, 1)) for one in outcomes]
    series = {
        "all": (counts, [one.requests / one.posts for one in outcomes]),
        "to decide": (counts, [one.deciding_requests / one.posts for one in outcomes]),
    }
    title = "Labels that nobody asks for cost nothing"
    report.plots.append(
        draw.lines(
            plots / "simulate-silent.svg", series, x="silent labels", y="requests per job", title=title, log_x=True
        )
    )


def _misses_table(report: Report, outcomes: Sequence[Outcome]) -> None:
    table = report.table(
        "Misses and waits by fleet size",
        *("fleet", "slots", "labels", "virtual s", "jobs", "labels asked for", "misses", "bound", "misses / bound"),
        *("wait p50 s", "wait p99 s", "longest wait s"),
    )
    for one in outcomes:
        table.add(
            one.case.name,
            one.case.consumers * one.case.slots,
            one.case.labels,
            round(one.virtual_seconds),
            one.posts,
            one.distinct,
            one.misses,
            one.bound,
            one.misses_to_bound,
            one.wait(0.5),
            one.wait(0.99),
            one.wait(1),
        )


def _cost_table(report: Report, outcomes: Sequence[Outcome]) -> None:
    table = report.table(
        "Cost of deciding by fleet size",
        *("fleet", "registry reads / s", "a consumer", "registry writes / s", "a consumer", "placement requests / job"),
        *("CPU of deciding, ms / job", "CPU of all, ms / job", "real s"),
    )
    for one in outcomes:
        reads, writes = one.registry_reads / one.virtual_seconds, one.registry_writes / one.virtual_seconds
        table.add(
            one.case.name,
            reads,
            reads / one.case.consumers,
            writes,
            writes / one.case.consumers,
            one.placement_requests / one.posts,
            one.deciding_seconds / one.posts * 1000,
            one.cpu_seconds / one.posts * 1000,
            one.wall_seconds,
        )


def _size_plots(report: Report, outcomes: Sequence[Outcome], plots: Path) -> None:
    consumers = [float(one.case.consumers) for one in outcomes]
    report.plots += [
        draw.lines(
            plots / "simulate-misses.svg",
            {
                "the library": (consumers, [one.misses_to_bound for one in outcomes]),
                "one LRU cache of all slots": (consumers, [1.0 for _ in outcomes]),
            },
            x="consumers",
            y="misses / bound",
            title="Label misses against the bound",
            log_x=True,
        ),
        draw.lines(
            plots / "simulate-registry.svg",
            {
                "reads": (consumers, [_rate(one, one.registry_reads) for one in outcomes]),
                "writes": (consumers, [_rate(one, one.registry_writes) for one in outcomes]),
                "placement queue": (consumers, [_rate(one, one.placement_requests) for one in outcomes]),
            },
            x="consumers",
            y="requests per consumer and second",
            title="What deciding costs a consumer, by fleet size",
            log_x=True,
        ),
    ]


def _rate(outcome: Outcome, requests: int) -> float:
    return requests / outcome.virtual_seconds / outcome.case.consumers


def _one_cell(outcomes: Sequence[Outcome]) -> Outcome:
    """The largest fleet that is not split into cells."""
    return max(
        (one for one in outcomes if one.case.consumers <= CONSUMERS_PER_CELL),
        key=lambda one: one.case.consumers,
    )
