"""What a deployment costs: `python -m benchmarks.costs`, from counted requests and AWS list prices.

The requests per job, by arrival pattern, and those of an idle consumer come from the numbers of the last whole run of
`make bench ARGS=requests`. Nothing is measured here: this is the arithmetic behind docs/howto/costs.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from .report import RESULTS, Report, Table, load
from .requests.billing import READ_UNIT, SQS_FIFO_REQUEST, WRITE_UNIT

#: List prices in us-east-1, dollars, without free tiers and discounts ("AWS Fargate pricing", Linux on x86; "Amazon CloudWatch
#: pricing"; "AWS PrivateLink pricing"; "AWS Lambda pricing", arm64).
FARGATE_VCPU_HOUR = 0.04048
FARGATE_GIB_HOUR = 0.004445
#: Spot prices vary; AWS advertises discounts of up to 70 %.
SPOT_DISCOUNT = 0.70
ENDPOINT_HOUR = 0.01
METRIC_MONTH = 0.30
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.00
PUT_METRICS_CALL = 0.01 / 1000
LAMBDA_GB_SECOND = 0.0000133334
LAMBDA_CALL = 0.20 / 1e6

#: "Elastic Load Balancing pricing": an Application Load Balancer, and a capacity unit, which covers 25 new connections a second.
BALANCER_HOUR = 0.0225
CAPACITY_UNIT_HOUR = 0.008

HOURS_A_MONTH = 730
MINUTES_A_MONTH = HOURS_A_MONTH * 60
#: What `terraform apply` makes: interface endpoints (SQS, ECR twice, Logs, monitoring) in two zones, metrics, and alarms. An
#: alarm is billed per metric in it: 16 of ours, three of which use two metrics, and two that target tracking makes.
ENDPOINTS, ZONES, METRICS, ALARMS = 5, 2, 16, 21
#: The backlog function: memory, and how long a run takes with a hundred labels that have work.
BACKLOG_GB, BACKLOG_SECONDS = 0.5, 1.0
#: The gateway, if there is one: tasks of its smallest service, and metrics in its alarms, including those of target tracking.
GATEWAY_TASKS, GATEWAY_VCPU, GATEWAY_GIB, GATEWAY_ALARMS = 2, 0.5, 1.0, 8
#: How busy the default target keeps tasks; the rest is reserve.
UTILISATION = 0.7

#: Jobs a second while there is work, hours of work a day, and the arrival pattern.
TRAFFIC: tuple[tuple[float, float, str], ...] = (
    (0.01, 24, "lone"),
    (0.1, 24, "lone"),
    (1, 24, "steady"),
    (10, 24, "steady"),
    (100, 24, "bulk"),
    (100, 2, "bulk"),
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the benchmark counted: dollars per million jobs by arrival pattern, and dollars a minute of one idle consumer."""

    job_dollars: dict[str, float]
    idle_dollars_a_minute: float


@dataclass(frozen=True)
class Task:
    """One task: its size, a job's share of its time (seconds), and how much of the fleet is Fargate Spot (0 to 1)."""

    vcpu: float = 2.0
    memory_gib: float = 8.0
    job_seconds: float = 0.05
    spot: float = 0.0

    @property
    def dollars_an_hour(self) -> float:
        """With its mix of on-demand and Spot capacity."""
        full = self.vcpu * FARGATE_VCPU_HOUR + self.memory_gib * FARGATE_GIB_HOUR
        return full * (1 - self.spot * SPOT_DISCOUNT)


@dataclass(frozen=True, slots=True)
class Costs:
    """A month in dollars, by item."""

    jobs: float
    tasks: int
    requests: float
    waiting: float
    compute: float
    fixed: float

    @property
    def month(self) -> float:
        """The total."""
        return self.requests + self.waiting + self.compute + self.fixed

    @property
    def per_million_jobs(self) -> float:
        """The total per million jobs."""
        return self.month / self.jobs * 1e6


def counted() -> Counted:
    """What the last whole run of the requests benchmark counted. Raises LookupError if there was none."""
    found = {report.name: report for report in load(RESULTS)}
    if "requests" not in found:
        raise LookupError("no counted requests: run `make bench ARGS=requests` first")
    tables = {table.title.partition(":")[0]: table for table in found["requests"].tables}
    dollars = _row(tables["Dollars per million jobs"], "all told")
    idle = tables["An idle consumer with room for 4 labels"]
    puts, queries = _row(idle, "PutItem, registry"), _row(idle, "Query, registry")
    polls = [_row(idle, name) for name in ("ReceiveMessage, label's queue", "ReceiveMessage, placement queue")]
    last = idle.columns[-1]
    # A registry of ten consumers fits a strongly consistent read unit or two.
    minute = (
        puts[last] * WRITE_UNIT + queries[last] * 2 * READ_UNIT + sum(one[last] for one in polls) * SQS_FIFO_REQUEST
    )
    return Counted(dollars, minute / 1e6)


def fixed_dollars() -> float:
    """A month of what is billed whether or not there are jobs, for one environment in one VPC."""
    lambda_run = LAMBDA_CALL + BACKLOG_GB * BACKLOG_SECONDS * LAMBDA_GB_SECOND + PUT_METRICS_CALL
    return (
        ENDPOINTS * ZONES * ENDPOINT_HOUR * HOURS_A_MONTH
        + METRICS * METRIC_MONTH
        + ALARMS * ALARM_MONTH
        + DASHBOARD_MONTH
        + lambda_run * MINUTES_A_MONTH
    )


def gateway_dollars() -> float:
    """A month of the HTTP gateway: its load balancer with little traffic, its minimum of tasks, its alarms."""
    task_hour = GATEWAY_VCPU * FARGATE_VCPU_HOUR + GATEWAY_GIB * FARGATE_GIB_HOUR
    hour = BALANCER_HOUR + CAPACITY_UNIT_HOUR + GATEWAY_TASKS * task_hour
    return hour * HOURS_A_MONTH + GATEWAY_ALARMS * ALARM_MONTH


def costs(
    jobs_per_second: float, hours_a_day: float, pattern: str, task: Task, known: Counted, *, gateway: bool = False
) -> Costs:
    """A month of such traffic. As many tasks run as keep up with it in the hours of work, and none in the others."""
    hours = HOURS_A_MONTH * hours_a_day / 24
    jobs = jobs_per_second * hours * 3600
    tasks = max(1, math.ceil(jobs_per_second * task.job_seconds / UTILISATION))
    return Costs(
        jobs=jobs,
        tasks=tasks,
        requests=jobs / 1e6 * known.job_dollars[pattern],
        waiting=tasks * hours * 60 * known.idle_dollars_a_minute,
        compute=tasks * hours * task.dollars_an_hour,
        fixed=fixed_dollars() + (gateway_dollars() if gateway else 0.0),
    )


def report(traffic: Sequence[tuple[float, float, str]], task: Task, *, gateway: bool = False) -> Report:
    """The table of the documentation, for the given traffic."""
    made = Report("costs", "Costs", "python -m benchmarks.costs")
    table = made.table(
        f"Dollars a month: tasks of {task.vcpu:g} vCPU and {task.memory_gib:g} GiB, {task.job_seconds:g} s of a task a job, "
        f"{task.spot:.0%} Spot{', with a gateway' if gateway else ''}",
        *("jobs/s × hours a day", "as they come", "million jobs", "tasks"),
        *("SQS and DynamoDB", "polls and leases", "compute", "fixed", "a month", "a million jobs"),
    )
    known = counted()
    for rate, hours, pattern in traffic:
        one = costs(rate, hours, pattern, task, known, gateway=gateway)
        amounts = (one.requests, one.waiting, one.compute, one.fixed, one.month, one.per_million_jobs)
        table.add(
            f"{rate:g} × {hours:g}", pattern, one.jobs / 1e6, one.tasks, *(round(amount, 2) for amount in amounts)
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, for the documentation's traffic or for the chosen traffic."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--jobs-per-second", type=float, help="while there is work (default: a table of several)")
    parser.add_argument("--hours-a-day", type=float, default=24, help="hours with work (24)")
    parser.add_argument(
        "--pattern", choices=("lone", "steady", "bulk"), default="steady", help="how jobs come (steady)"
    )
    parser.add_argument("--vcpu", type=float, default=Task.vcpu)
    parser.add_argument("--memory-gib", type=float, default=Task.memory_gib)
    parser.add_argument(
        "--job-seconds", type=float, default=Task.job_seconds, help="a job's share of a task's time (0.05)"
    )
    parser.add_argument("--spot", type=float, default=Task.spot, help="share of tasks on Fargate Spot, 0 to 1 (0)")
    parser.add_argument("--gateway", action="store_true", help="with the HTTP gateway among what is fixed")
    chosen = parser.parse_args(arguments)
    task = Task(chosen.vcpu, chosen.memory_gib, chosen.job_seconds, chosen.spot)
    traffic: Sequence[tuple[float, float, str]] = TRAFFIC
    if chosen.jobs_per_second:
        traffic = ((chosen.jobs_per_second, chosen.hours_a_day, chosen.pattern),)
    try:
        report(traffic, task, gateway=chosen.gateway).show(Console())
    except LookupError as error:
        print(f"costs: {error}", file=sys.stderr)
        return 1
    return 0


def _row(table: Table, name: str) -> dict[str, float]:
    row = next(row for row in table.rows if row[0] == name)
    return {column: float(value or 0) for column, value in zip(table.columns[1:], row[1:], strict=True)}


if __name__ == "__main__":
    sys.exit(main())
