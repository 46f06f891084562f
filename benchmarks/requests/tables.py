"""The tables of the report: by operation, against other systems, when idle."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from inference_engine.labels import placement_queue_name
from inference_engine.settings import Settings

from ..report import Report
from .billing import Bill
from .idle import ROOM, Idle
from .metered import Phase
from .proxy import Account

BACKGROUND = ("placement queue", "registry")


def wait_for(idle: Sequence[Idle], seconds: float) -> None:
    """Wait until all of them have been idle for `seconds`."""
    time.sleep(max(0.0, seconds - (time.monotonic() - max(one.started for one in idle))))


def operations(report: Report, workloads: Mapping[str, Phase], settings: Settings) -> None:
    """Requests and dollars by caller and operation: the jobs' own calls, then the background calls, then the sum."""
    rows: defaultdict[tuple[str, str, str], dict[str, Bill]] = defaultdict(dict)
    for workload, phase in workloads.items():
        for who, account in (("producer", phase.producer), ("consumer", phase.consumer)):
            for (operation, place), bill in _by_place(account, settings).items():
                rows[who, operation, place][workload] = bill
    ordered = sorted(rows, key=lambda row: (row[2] in BACKGROUND, row[0] == "consumer", row[1]))
    counts = report.table("Requests per job", "", *workloads)
    dollars = report.table("Dollars per million jobs", "", *workloads)
    for who, operation, place in ordered:
        bills = [(rows[who, operation, place].get(name, Bill()), phase.jobs) for name, phase in workloads.items()]
        name = f"{who}: {operation}, {place}"
        counts.add(name, *(bill.calls / jobs for bill, jobs in bills))
        dollars.add(name, *(bill.dollars / jobs * 1e6 for bill, jobs in bills))
    background = [_background(phase, settings) for phase in workloads.values()]
    jobs = [phase.jobs for phase in workloads.values()]
    shares = list(zip(background, jobs, strict=True))
    counts.add("of these in the background", *(bill.calls / count for bill, count in shares))
    dollars.add("of these in the background", *(bill.dollars / count * 1e6 for bill, count in shares))
    counts.add("all told", *(phase.requests_per_job for phase in workloads.values()))
    dollars.add("all told", *(phase.dollars_per_million for phase in workloads.values()))


def comparison(report: Report, ours: Mapping[str, Phase], others: Mapping[str, Mapping[str, Phase]]) -> None:
    """The totals of the library beside those of other systems."""
    table = report.table(
        "Against others, all told",
        *("", "requests per job, bulk", "requests of a lone post"),
        *("dollars per million jobs, bulk", "dollars per million lone posts"),
    )
    for name, phases in {"inference-engine": ours, **others}.items():
        bulk, lone = phases["bulk"], phases["lone"]
        table.add(
            name, bulk.requests_per_job, lone.requests_per_job, bulk.dollars_per_million, lone.dollars_per_million
        )


def at_rest(report: Report, idle: Sequence[Idle]) -> dict[int, float]:
    """Requests a minute of the idle consumers, by the number of labels held."""
    seconds = min(time.monotonic() - one.started for one in idle)
    title = f"An idle consumer with room for {ROOM} labels: requests a minute"
    table = report.table(title, f"over {seconds:.0f} s", *(f"holds {one.held}" for one in idle))
    rates = {one.held: _rates(one) for one in idle}
    for row in sorted({row for found in rates.values() for row in found}):
        table.add(row, *(rates[one.held].get(row, 0.0) for one in idle))
    sums = {held: sum(found.values()) for held, found in rates.items()}
    table.add("all told", *sums.values())
    return sums


def _rates(idle: Idle) -> dict[str, float]:
    rates: defaultdict[str, float] = defaultdict(float)
    for (operation, resource), rate in idle.per_minute().items():
        rates[f"{operation}, {_place(resource, idle.settings)}"] += rate
    return rates


def _background(phase: Phase, settings: Settings) -> Bill:
    accounts = (_by_place(account, settings) for account in (phase.producer, phase.consumer))
    return _sum(bill for account in accounts for (_, place), bill in account.items() if place in BACKGROUND)


def _by_place(account: Account, settings: Settings) -> Account:
    places: defaultdict[tuple[str, str], Bill] = defaultdict(Bill)
    for (operation, resource), bill in account.items():
        places[operation, _place(resource, settings)] += bill
    return places


def _place(resource: str, settings: Settings) -> str:
    if resource == placement_queue_name(settings.prefix, settings.cell, settings.cells):
        return "placement queue"
    tables = {settings.jobs_table: "jobs table", settings.registry_table: "registry"}
    return tables.get(resource, "label's queue" if resource.endswith(".fifo") else resource)


def _sum(bills: Iterable[Bill]) -> Bill:
    return sum(bills, Bill())
