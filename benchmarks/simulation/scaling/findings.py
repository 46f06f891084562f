"""What the days show: tables, aims, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ... import plots as draw
from ...report import Aim, Report, Table
from ..clock import MINUTE
from .alarms import IN_POINTS, OUT_POINTS, Start
from .cases import GUESSED_JOB_SECONDS
from .day import ORACLE_SEES_SECONDS, PUBLISH_SECONDS, Outcome
from .service import SPOT_LOSSES_PER_HOUR, SPOT_SHARE, START_SECONDS
from .task import PROTECTION_SECONDS, SLOTS

#: Fargate, Linux on ARM, us-east-1: dollars per vCPU and per GB and hour (AWS Fargate pricing); a task of 2 vCPU and 8 GB.
DOLLARS_PER_TASK_HOUR = 2 * 0.03238 + 8 * 0.00356
#: What any fleet scaled by alarms needs: the points above the target, their publication, and a start.
REACTION_SECONDS = OUT_POINTS * MINUTE + PUBLISH_SECONDS + START_SECONDS[1]
#: From the first message at zero: the minute until it is measured, its publication, a start, a load, a job.
WAKE_SECONDS = MINUTE + PUBLISH_SECONDS + START_SECONDS[1] + 15
#: Half of what the alarms allow: growing takes three points and shrinking fifteen, so a fleet can reverse twice in that time.
REVERSALS_PER_HOUR_LIMIT = 0.5 * 2 * 3600 / ((OUT_POINTS + IN_POINTS) * MINUTE)
#: Half as much again as a fleet that knows the future. The cost is the fifteen minutes before anything is given back.
HOURS_LIMIT = 1.5
#: As a share of what a fleet scaled by its backlog alone gives up too early.
REGRETTED_LIMIT = 0.5
#: It waits for its only lane, however the fleet is scaled.
ONE_LANE = ("hot",)

HOW = [
    "The library's own arithmetic (`inference_engine/operations/backlog.py`) computes what scaling is based on, and its own "
    "rules (`fleet/placement.py`) place the labels. Jobs, tasks, alarms, Application Auto Scaling and ECS are simulated on a "
    f"virtual clock as AWS documents them. A task holds {SLOTS} of 24 labels, computes for one at a time, takes "
    f"{START_SECONDS[0]:.0f} to {START_SECONDS[1]:.0f} s to start and is protected {PROTECTION_SECONDS} s after it becomes busy; "
    f"{SPOT_SHARE:.0%} of tasks are on spot capacity and {SPOT_LOSSES_PER_HOUR:.0%} of these are lost per hour. How busy a "
    "label keeps the fleet is averaged over five minutes. Waits run from post to start of computation and exclude the hot "
    "label, which waits for its only lane.",
    "The ECS guide says that scaling calculates from the *running* count; elsewhere AWS names the desired count. Every way "
    f"is simulated with both. The oracle knows all jobs of the next {ORACLE_SEES_SECONDS / 60:.0f} minutes and what they cost, "
    f"and needs no alarm. The guess assumes {GUESSED_JOB_SECONDS:g} s per job. Reversals are changes from growing to shrinking "
    "or back, per hour with a desired task; waking up and falling asleep do not count. Regretted tasks are those given up and "
    "asked for again within a quarter of an hour. Dollars are for Fargate on demand, 2 vCPU and 8 GB on ARM, "
    f"{DOLLARS_PER_TASK_HOUR:.3f} a task-hour.",
]

_WAITS = ("wait p50 s", "p99 s", "longest s")


def ways(report: Report, found: Mapping[Start, Sequence[Outcome]], oracle: Outcome, plots: Path) -> None:
    """Our ways to scale, the usual ones, and the oracle."""
    for start, outcomes in found.items():
        table = _table(report, f"Ways to scale, calculated from the {start.value} count")
        for one in (*outcomes, oracle):
            _row(table, one)
    ours = [outcomes[0] for outcomes in found.values()]
    aim = report.aims.append
    aim(Aim("scaling, jobs not done", sum(one.posted - one.done for one in ours), "=", 0))
    aim(
        Aim(
            "scaling, times more tasks were asked for than lanes can use",
            sum(one.beyond_lanes() for one in ours),
            "=",
            0,
        )
    )
    aim(Aim("scaling, jobs cut off by a scale-in", sum(one.cut_off_by_scale_in for one in ours), "=", 0))
    aim(Aim("scaling, reversals per hour", max(one.reversals_per_hour for one in ours), "≤", REVERSALS_PER_HOUR_LIMIT))
    aim(Aim("scaling, task-hours / oracle", max(one.task_hours for one in ours) / oracle.task_hours, "≤", HOURS_LIMIT))
    aim(
        Aim(
            "scaling, from the first message at zero to a result",
            max(max(one.wakes) for one in ours),
            "≤",
            WAKE_SECONDS,
            " s",
        )
    )
    alone = [outcomes[2] for outcomes in found.values()]
    regretted = max(mine.regretted() / max(1, other.regretted()) for mine, other in zip(ours, alone, strict=True))
    aim(Aim("scaling, tasks given up too early / by the backlog alone", regretted, "≤", REGRETTED_LIMIT))
    report.notes.append(_zero_note(ours[0]))
    _plot(report, found, oracle, plots)


def offload(
    report: Report, ours: Sequence[Outcome], oracle: Outcome, ours_stuck: Sequence[Outcome], oracle_stuck: Outcome
) -> None:
    """What waits would be if labels stayed on an overloaded task."""
    table = report.table(
        "Waits, and what they would be if no overloaded task left a label to one that rests (all but the hot label)",
        *("fleet", *_WAITS, "task-hours"),
    )
    rows = {
        f"{one.case.name} ({one.case.start.value}){how}": one
        for how, outcomes in (("", ours), (", labels stay", ours_stuck))
        for one in outcomes
    }
    rows |= {"oracle": oracle, "oracle, labels stay": oracle_stuck}
    for name, one in rows.items():
        table.add(name, *_waits(one), one.task_hours)
    longer = max(one.wait(0.99, without=ONE_LANE) for one in ours) - oracle.wait(0.99, without=ONE_LANE)
    report.aims.append(Aim("scaling, wait p99 beyond the oracle's", longer, "≤", REACTION_SECONDS, " s"))


def one_lane(report: Report, outcomes: Sequence[Outcome]) -> None:
    """A label that only one task can serve, with work for three."""
    table = report.table(
        "One label with one lane and three times its work, two hours", "scaled by", "most tasks", "task-hours"
    )
    for one in outcomes:
        table.add(one.case.name, one.peak, one.task_hours)
    report.aims.append(Aim("scaling, tasks for one label of one lane", outcomes[0].peak, "≤", 1))


def protection(report: Report, protected: Outcome, unprotected: Outcome) -> None:
    """What task protection is for."""
    table = report.table(
        "Task protection: jobs of 150 s are longer than a consumer may drain",
        *("", "busy tasks stopped by scale-in", "jobs cut off by scale-in", "spot losses", "jobs cut off by these"),
    )
    for name, one in (("protected while busy", protected), ("not protected", unprotected)):
        table.add(name, one.busy_stopped, one.cut_off_by_scale_in, one.spot_losses, one.cut_off_by_loss)


def settings(report: Report, found: Mapping[str, Sequence[Outcome]]) -> None:
    """Other targets and cooldowns; the worse value of both counts."""
    table = report.table(
        "Targets and cooldowns (worse of both counts, all but the hot label)",
        *("setting", *_WAITS, "task-hours", "reversals per hour", "tasks started", "most tasks"),
    )
    for name, outcomes in found.items():
        worst = [max(values) for values in zip(*(_waits(one) for one in outcomes), strict=True)]
        table.add(
            name,
            *worst,
            max(one.task_hours for one in outcomes),
            max(one.reversals_per_hour for one in outcomes),
            max(one.started for one in outcomes),
            max(one.peak for one in outcomes),
        )


def _table(report: Report, title: str) -> Table:
    return report.table(
        title,
        *(
            "scaled by",
            *_WAITS,
            "jobs not done",
            "task-hours",
            "dollars",
            "reversals per hour",
            "tasks started",
            "regretted",
        ),
        *("most tasks", "beyond lanes", "longest wake s"),
    )


def _row(table: Table, one: Outcome) -> None:
    known = one.case.metric is not None
    table.add(
        one.case.name,
        *_waits(one),
        one.posted - one.done,
        one.task_hours,
        one.task_hours * DOLLARS_PER_TASK_HOUR,
        one.reversals_per_hour,
        one.started,
        one.regretted(),
        one.peak,
        one.beyond_lanes() if known else None,
        max(one.wakes) if known and one.wakes else None,
    )


def _waits(one: Outcome) -> tuple[float, float, float]:
    return one.wait(0.5, without=ONE_LANE), one.wait(0.99, without=ONE_LANE), one.wait(1, without=ONE_LANE)


def _zero_note(one: Outcome) -> str:
    at_zero = sum(minute.desired == 0 for minute in one.minutes) / 60
    wakes = sorted(one.wakes)
    return (
        f"The day has {one.posted:,} jobs of {one.work_seconds / 3600:.0f} task-hours. The fleet was at zero for {at_zero:.1f} "
        f"hours and woke {len(wakes)} times; the first result came {wakes[0]:.0f} to {wakes[-1]:.0f} s after the first message."
    )


def _plot(report: Report, found: Mapping[Start, Sequence[Outcome]], oracle: Outcome, plots: Path) -> None:
    bound = [minute.at / 3600 for minute in oracle.minutes], [float(minute.desired) for minute in oracle.minutes]
    panels = {
        one.case.name: {
            "desired": (
                [minute.at / 3600 for minute in one.minutes],
                [float(minute.desired) for minute in one.minutes],
            ),
            "oracle": bound,
        }
        for one in found[Start.DESIRED]
    }
    title = "Tasks over a day, calculated from the desired count"
    report.plots.append(draw.panels(plots / "scaling-day.svg", panels, x="hour", y="tasks", title=title))
