"""A simulated day of autoscaling: the library's measures, Application Auto Scaling as AWS documents it, an ECS service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ...report import Report
from ..clock import HOUR
from . import cases, findings
from .alarms import Settings, Start
from .cases import Case
from .day import Outcome, simulate
from .plans import hot_label, working_day

COMMAND = "make bench ARGS=scaling"

OURS = "backlog and what comes meanwhile, per desired task"
_WAYS = {
    OURS: Case(OURS, cases.per_desired_task, ()),
    "the same, per running task": Case("", cases.per_running_task, ()),
    "backlog alone, per desired task": Case("", cases.per_desired_task, (), window_seconds=0.0),
    "messages × a guess, per running task": Case("", cases.guessed, (), window_seconds=0.0),
}
_CHOICES = {
    "target 30 s": Settings(target=30.0),
    "target 60 s, cooldowns 60 s out and 300 s in": Settings(),
    "target 120 s": Settings(target=120.0),
    "cooldown in 60 s": Settings(scale_in_cooldown=60.0),
    "cooldown in 900 s": Settings(scale_in_cooldown=900.0),
    "cooldown out 0 s": Settings(scale_out_cooldown=0.0),
    "cooldown out 180 s": Settings(scale_out_cooldown=180.0),
}


def run(quick: bool, plots: Path) -> Report:
    """Simulate all ways to scale on the same day; a quick run covers its first twelve hours, without other settings."""
    seconds = (12 if quick else 24) * HOUR
    day = Case(OURS, cases.per_desired_task, working_day(), seconds=seconds)
    oracle = replace(day, name="oracle", metric=None)
    report = Report("scaling", "A day of autoscaling", COMMAND)
    ways = {
        start: _all(
            [replace(way, name=name, plans=day.plans, seconds=seconds, start=start) for name, way in _WAYS.items()]
        )
        for start in Start
    }
    bound = _all([oracle])[0]
    findings.ways(report, ways, bound, plots)
    stuck = [replace(day, start=start, offload=False) for start in Start]
    findings.offload(
        report, [ways[start][0] for start in Start], bound, _all(stuck), _all([replace(oracle, offload=False)])[0]
    )
    findings.one_lane(
        report, _all([replace(case.case, plans=hot_label(), seconds=5 * HOUR) for case in ways[Start.DESIRED]])
    )
    findings.protection(report, ways[Start.DESIRED][0], _all([replace(day, start=Start.DESIRED, protection=False)])[0])
    if not quick:
        findings.settings(report, {name: _both(day, settings) for name, settings in _CHOICES.items()})
    report.notes += findings.HOW
    return report


def _both(day: Case, settings: Settings) -> list[Outcome]:
    return _all([replace(day, settings=settings, start=start) for start in Start])


def _all(chosen: Sequence[Case]) -> list[Outcome]:
    console = Console(stderr=True)
    outcomes = []
    for case in chosen:
        outcome = simulate(case)
        console.print(f"  {case.name}: {outcome.done:,} jobs, {outcome.task_hours:.0f} task-hours", style="dim")
        outcomes.append(outcome)
    return outcomes
