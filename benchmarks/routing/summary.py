"""The report: tables, aims and plots from the JSON that the experiments wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import plots as drawing
from benchmarks.report import Aim, Cell, Report, Table

from .cases import CASES, FACTOR, INTERVAL_MIN_SECONDS
from .hot import JOB_SECONDS
from .outcomes import Bulk, Hot, load, replayed

#: All 2,400 requests of the published experiment take longer than a run of the benchmarks: results of the last whole run.
RECORDED = Path(__file__).parent / "recorded"
NOTES = (
    "Consumers are processes, AWS is an emulator on the same machine, and cases a, b and Zipf load real models into a real "
    "Triton server beside each consumer. A miss is a load, as counted by the consumers (`GET /stats`). The reference is one "
    "LRU cache with all slots of the fleet on the same trace. Random dispatch is the library's single-queue mode: each "
    "consumer takes whatever job comes and loads models on demand, evicting the least recently used one. In both modes a "
    "consumer computes one job at a time, as the published workers do.",
    f"The producers' waits (normally distributed, negative values set to zero) are divided by {FACTOR:g}, and so are the "
    f"library's own waits (`placement_interval_seconds`, `placement_idle_seconds`, `host_cache_seconds`, `turn_min_seconds`, "
    f"`wait_time_seconds`; none below {INTERVAL_MIN_SECONDS:g} s, three times the emulator's polling interval). Loads, unloads "
    "and jobs take their real time. With label routing, an event therefore begins only when all events that end before it in "
    "nominal time have ended. `python -m benchmarks.routing a b --published` waits in real time.",
    "Triton takes 1.1 s to free a Python-backed model and 0.2–0.5 s to load one; a miss in a full fleet pays both. The "
    "published workers dropped a model in no time. Compare the ratios of task runtimes, not the seconds.",
    "Churn, the backlog and the hot label use models that only sleep (load 0.03 s, unload 0.11 s).",
)


def summarise(folder: Path, plots: Path, *, quick: bool) -> Report:
    """The report of the outcomes in `folder`."""
    report = Report("routing", "Label misses: label routing against random dispatch", "make bench ARGS=routing")
    report.notes += NOTES
    _misses(report, folder)
    if quick:
        report.notes.append("A quick run: the models of a and b only sleep, too.")
    else:
        _published(report, folder)
    _aims(report, folder, quick=quick)
    _bulk(report, load(folder / "bulk.json", Bulk))
    _hot(report, load(folder / "hot.json", Hot), plots)
    _plot_misses(report, folder, plots)
    return report


def _misses(report: Report, folder: Path) -> None:
    """All cases of this run, each beside one LRU cache."""
    table = report.table("Misses", "case", "fleet", "requests", "one LRU cache", "label routing", "random dispatch")
    for case in CASES.values():
        label, random = replayed(folder, case.name, "label"), replayed(folder, case.name, "random")
        if label:
            table.add(
                *(f"{case.name}: {case.title}", case.fleet, label.requests, label.bound, label.misses),
                random.misses if random else None,
            )


def _published(report: Report, folder: Path) -> None:
    """The published experiment: as published, in this run, and over all of its requests."""
    table = report.table(
        "The published experiment: misses, and the mean runtime of a task in seconds",
        *("case", "requests", "label routing", "random dispatch", "random ÷ label"),
        *("label routing, s", "random dispatch, s", "label ÷ random"),
    )
    for case in CASES.values():
        if known := case.published:
            misses = (known.label_misses, known.random_misses)
            table.add(
                *_sides(f"{case.name}, published", known.requests, misses, (known.label_seconds, known.random_seconds))
            )
            for where, name in ((folder, "this run"), (RECORDED, "a whole run")):
                label, random = replayed(where, case.name, "label"), replayed(where, case.name, "random")
                if label and random:
                    seconds = (label.mean_seconds, random.mean_seconds)
                    misses = (label.misses, random.misses)
                    table.add(*_sides(f"{case.name}, {name}", label.requests, misses, seconds))


def _sides(name: str, requests: int, misses: tuple[int, int], seconds: tuple[float, float]) -> Sequence[Cell]:
    (label, random), (label_seconds, random_seconds) = misses, seconds
    return (
        name,
        requests,
        label,
        random,
        random / label,
        label_seconds,
        random_seconds,
        label_seconds / random_seconds,
    )


def _aims(report: Report, folder: Path, *, quick: bool) -> None:
    """A quick run only has the aims that hold for small sizes: ratios to one LRU cache need a few hundred requests."""
    if b := replayed(folder, "b", "label"):
        report.aims.append(Aim(f"b ({CASES['b'].fleet}): misses", b.misses, "=", 4))
    if quick:
        return
    for name, limit in (("a", 1.05), ("zipf", 1.0), ("churn", 1.05)):
        if found := replayed(folder, name, "label"):
            text = f"{name} ({CASES[name].fleet}): misses against one LRU cache"
            report.aims.append(Aim(text, found.misses / found.bound, "≤", limit, " ×"))
    for name, limit in (("a", 2.5), ("b", 8.0)):
        label, random = replayed(folder, name, "label"), replayed(folder, name, "random")
        if label and random:
            text = f"{name} ({CASES[name].fleet}): misses of random dispatch against label routing"
            report.aims.append(Aim(text, random.misses / label.misses, "≥", limit, " ×"))


def _bulk(report: Report, found: list[Bulk]) -> None:
    table = Table("A backlog posted at once", ("labels", "jobs", "slots", "misses", "misses per label", "seconds"))
    for bulk in found:
        each = bulk.misses / bulk.labels
        table.add(bulk.labels, bulk.jobs, bulk.slots, bulk.misses, each, bulk.seconds)
        text = f"backlog of {bulk.labels:,} labels on {bulk.slots} slots: misses per label"
        report.aims.append(Aim(text, each, "≤", 1.1))
    if found:
        report.tables.append(table)


def _hot(report: Report, found: list[Hot], plots: Path) -> None:
    if not found:
        return
    table = report.table(
        f"One hot label, jobs of {JOB_SECONDS:g} s, one at a time on a consumer",
        *("lanes", "consumers used", "misses", "jobs/s", "jobs/s per consumer"),
    )
    for hot in found:
        table.add(hot.lanes, hot.holders, hot.misses, hot.jobs_per_second, hot.jobs_per_second / max(hot.holders, 1))
    extra = sum(hot.misses - hot.holders for hot in found)
    report.aims.append(Aim("hot label: misses beyond one for each consumer used", extra, "=", 0))
    lanes = [hot.lanes for hot in found]
    series = {
        "measured": (lanes, [hot.jobs_per_second for hot in found]),
        "without any cost": (lanes, [count / JOB_SECONDS for count in lanes]),
    }
    path = plots / "routing-hot.svg"
    report.plots.append(drawing.lines(path, series, x="lanes", y="jobs/s", title="Throughput of one hot label"))


def _plot_misses(report: Report, folder: Path, plots: Path) -> None:
    bars: dict[str, float] = {}
    for case in CASES.values():
        label, random = replayed(folder, case.name, "label"), replayed(folder, case.name, "random")
        if label:
            bars[f"{case.name}: one LRU cache"] = 100 * label.bound / label.requests
            bars[f"{case.name}: label routing"] = 100 * label.misses / label.requests
        if random:
            bars[f"{case.name}: random dispatch"] = 100 * random.misses / random.requests
    path = plots / "routing-misses.svg"
    report.plots.append(drawing.bars(path, bars, x="misses per 100 requests", title="Label misses"))
