"""What must not grow: the cost of a pending job, of a label served once, and of a record in the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from rich.console import Console

from ..deployment import EmulatedDeployment, deployment
from ..plots import bars, lines
from ..report import Aim, Report
from . import known, pending, table
from .known import Knowing
from .pending import WaitingCost
from .records import BUCKET
from .table import Step

COMMAND = "make bench ARGS=growth"
#: What counts as flat: the cost at the largest count divided by the cost at the smallest.
FLAT = 1.25
#: What is exact even in a short run.
COUNTED = "requests per job"
#: A stopping consumer waits for its polls; short polls keep that wait short.
POLL_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How many of each, and how long."""

    pending: tuple[int, ...]
    wait_seconds: float
    labels: tuple[int, int]
    idle_seconds: float
    records: tuple[int, ...]
    jobs: int
    posts: int
    rounds: int

    def visits(self) -> list[int]:
        """The sizes of the tables to measure, in order, as far as this machine's memory can hold them."""
        return table.fitting(self.records)


#: The producer repeats the load request of a stalled label every 20 s and looks at jobs behind the heads of their lines
#: every 5 s. The waits are long enough to include that.
FULL = Plan((1_000, 10_000, 100_000), 22.0, (40, 1_000), 10.0, (1_000, 100_000, 1_000_000, 1_000), 500, 10, 3)
QUICK = Plan((1_000, 2_000, 4_000), 5.0, (5, 15), 2.5, (1_000, 20_000), 100, 3, 1)


def run(quick: bool, plots: Path) -> Report:
    """Measure all three in sequence; in a quick run the first runs beside the others, because most of it is waiting."""
    plan, console = QUICK if quick else FULL, Console(stderr=True, style="dim", highlight=False)
    report = Report("growth", "Memory and growth", COMMAND)
    with (
        deployment(counted=True, bucket=BUCKET, wait_time_seconds=POLL_SECONDS) as deployed,
        ThreadPoolExecutor(1) as pool,
    ):
        console.print(f"  a producer with up to {max(plan.pending):,} pending jobs")
        waiting = pool.submit(pending.measure, deployed, plan.pending, plan.wait_seconds)
        if not quick:
            waiting.result()
        console.print(f"  a consumer that knows {plan.labels[1]:,} labels")
        few, many = known.measure(
            deployed, plan.labels, idle_seconds=plan.idle_seconds, jobs=plan.jobs, rounds=plan.rounds
        )
        steps = list(_steps(plan, deployed, console))
        costs = waiting.result()
    if max(plan.visits()) < max(plan.records):
        report.notes.append(f"This machine's memory holds {max(plan.visits()):,} records, not {max(plan.records):,}.")
    _tell_pending(report, costs, plots)
    _tell_known(report, few, many, plots)
    _tell_table(report, steps, plots)
    if quick:
        report.notes.append("A quick run is too short to judge times, memory and idling.")
        report.aims = [aim for aim in report.aims if aim.text.startswith(COUNTED)]
    return report


def _steps(plan: Plan, deployed: EmulatedDeployment, console: Console) -> Iterator[Step]:
    """Tables of growing size beside each other in one emulator; a repeated size is the same table."""
    tables: dict[int, EmulatedDeployment] = {}
    for records in plan.visits():
        console.print(f"  a table with {records:,} records")
        if records not in tables:
            tables[records] = table.fill(deployed, records)
        yield table.measure(tables[records], records, jobs=plan.jobs, posts=plan.posts, rounds=plan.rounds)


def _tell_pending(report: Report, found: list[WaitingCost], plots: Path) -> None:
    columns = ("pending jobs", "bytes each", "µs of processor each, to begin", "cores, waiting", "requests/s, waiting")
    made = report.table(
        "A producer that waits in as_completed", *columns, "longest stall of its loop, ms", "s to give up"
    )
    for one in found:
        made.add(
            *(one.count, one.bytes_per_id, one.begin_seconds_per_id * 1e6, one.cores, one.requests_per_second),
            *(one.stall_seconds * 1e3, one.cancel_seconds),
        )
    counts = [one.count for one in found]
    further = {
        "memory of each further job": _further([(one.count, one.bytes_per_id) for one in found]),
        "processor time to begin, of each further job": _further(
            [(one.count, one.begin_seconds_per_id) for one in found]
        ),
    }
    whole = {
        "processor time, waiting": [one.cores for one in found],
        "requests, waiting": [one.requests_per_second for one in found],
    }
    against = f"{counts[-1]:,} pending jobs against {counts[0]:,}"
    _aim(report, {name: values[-1] / values[0] for name, values in (further | whole).items()}, against)
    series = {name: (counts[1:], values) for name, values in further.items()}
    series |= {name: (counts, values) for name, values in whole.items()}
    report.plots.append(_plot(plots / "growth-pending.svg", series, "jobs that a producer waits for"))


def _further(costs: Sequence[tuple[int, float]]) -> list[float]:
    """What each further job costs, from one count to the next; this leaves out the fixed cost of a process."""
    return [
        (more * each_of_more - fewer * each_of_fewer) / (more - fewer)
        for (fewer, each_of_fewer), (more, each_of_more) in pairwise(costs)
    ]


def _tell_known(report: Report, few: Knowing, many: Knowing, plots: Path) -> None:
    columns = ("labels served so far", "resident MB", "cores, idle", "requests/s, idle", "requests per job")
    made = report.table(
        f"A consumer that holds {few.labels} labels", *columns, "ms of its processor per job", "jobs/s", "/metrics, kB"
    )
    for one in (few, many):
        made.add(
            *(one.labels, one.resident_bytes / 1e6, one.idle_cores, one.idle_requests_per_second),
            *(median(one.requests_per_job), median(one.cpu_seconds_per_job) * 1e3),
            *(1 / median(one.seconds_per_job), one.metrics_bytes / 1e3),
        )
    against = f"{many.labels:,} labels known against {few.labels}"
    each = (many.resident_bytes - few.resident_bytes) / (many.labels - few.labels)
    report.notes.append(f"A label that was served once costs a consumer {each / 1e3:,.1f} kB of memory.")
    ratios = {
        "requests per job": median(many.requests_per_job) / median(few.requests_per_job),
        "processor time per job": median(many.cpu_seconds_per_job) / median(few.cpu_seconds_per_job),
        "requests of an idle consumer": many.idle_requests_per_second / few.idle_requests_per_second,
    }
    _aim(report, ratios, against)
    drawn = ratios | {"memory": many.resident_bytes / few.resident_bytes}
    report.plots.append(bars(plots / "growth-labels.svg", drawn, x="ratio", title=against))


def _tell_table(report: Report, steps: list[Step], plots: Path) -> None:
    columns = ("jobs in the table", "requests per job", "ms of the consumer's processor per job", "ms per job in bulk")
    made = report.table("Jobs beside others in the table", *columns, "ms for a blocking post", "emulator, MB")
    for step in steps:
        made.add(
            *(step.records, step.requests_per_job, step.consumer_cpu_seconds_per_job * 1e3),
            *(step.seconds_per_job * 1e3, step.post_seconds * 1e3, step.emulator_bytes / 1e6),
        )
    grown = sorted({step.records: step for step in reversed(steps)}.values(), key=lambda step: step.records)
    after = next(step for step in reversed(steps) if step.records == grown[0].records)
    if after is not grown[0]:
        report.notes.append(
            "The last row is the first table again, measured beside the large ones: what the emulator pays to hold those is "
            "not part of a job's cost. The aims compare with this row. Records are loaded by ImportTable."
        )
    against = f"{grown[-1].records:,} jobs in the table against {grown[0].records:,}"
    ratios = {
        "requests per job": grown[-1].requests_per_job / after.requests_per_job,
        "processor time of the consumer per job": grown[-1].consumer_cpu_seconds_per_job
        / after.consumer_cpu_seconds_per_job,
        "time per job in bulk": grown[-1].seconds_per_job / after.seconds_per_job,
        "time of a blocking post": grown[-1].post_seconds / after.post_seconds,
    }
    _aim(report, ratios, against)
    series = {
        "requests per job": [step.requests_per_job for step in grown],
        "processor time of the consumer per job": [step.consumer_cpu_seconds_per_job for step in grown],
        "time per job in bulk": [step.seconds_per_job for step in grown],
        "time of a blocking post": [step.post_seconds for step in grown],
    }
    counts = [step.records for step in grown]
    alike = {name: (counts, values) for name, values in series.items()}
    report.plots.append(_plot(plots / "growth-table.svg", alike, "jobs in the table"))


def _aim(report: Report, ratios: Mapping[str, float], against: str) -> None:
    report.aims += [Aim(f"{name}: {against}", ratio, "≤", FLAT) for name, ratio in ratios.items()]


def _plot(path: Path, series: Mapping[str, tuple[Sequence[int], Sequence[float]]], what: str) -> str:
    relative = {name: (xs, [value / values[0] for value in values]) for name, (xs, values) in series.items()}
    return lines(
        path, relative, x=what, y="cost, relative to the fewest", title=f"Cost, by the number of {what}", log_x=True
    )
