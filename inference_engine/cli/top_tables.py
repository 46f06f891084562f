"""An overview as tables in a terminal, with as many columns and rows as fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ..gateway.dispatch.stats import GatewayStats
from ..operations.overview import ConsumerRow, LabelRow, Overview, Totals

#: At most so many labels are listed as needing attention; the table shows the others.
TROUBLES_MAX = 5
#: Rows of labels that are shown even where the terminal has too few lines.
LABELS_MIN = 3

_SIGNS = {
    "failing": ("✕", "red"),
    "unserved": ("▲", "yellow"),
    "unheld": ("◌", "yellow"),
    "loading": ("◩", "cyan"),
    "loaded": ("■", "green"),
    "idle": ("·", "dim"),
    "alive": ("●", "green"),
    "draining": ("◐", "yellow"),
    "gone": ("✕", "red"),
}
_GRAVITY = list(_SIGNS)
#: Columns of names, one in each table; the width they are cut to before a column is dropped; the gap between two columns.
_NAMES = ("label", "consumer")
NAME_MIN = 20
GAP = 2
#: A label's row names up to this many consumers; more are only counted.
HOLDERS_MAX = 5


class Column(NamedTuple):
    """A column. Where not all fit, the one with the highest `spare` is dropped first; those with 0 stay."""

    title: str
    cell: Callable[[Any], str | Text]
    spare: int = 0
    left: bool = False


def screen(
    overview: Overview, gateway: GatewayStats | None, trouble: str, width: int, height: int | None = None
) -> RenderableType:
    """Totals, the gateway, what needs attention, labels and consumers; within `height` lines, if that is given."""
    numbers = {row.consumer_id: str(number) for number, row in enumerate(overview.consumers, 1)}
    above = [*_head(overview, gateway, trouble), *_troubles(overview)]
    consumers = _table("consumers", _consumer_columns(numbers), overview.consumers, width)
    # A table's own lines: title, head, rule; and an empty line between the two.
    room = None if height is None else height - _lines(above, width) - len(overview.consumers) - 8
    labels = sorted(overview.labels, key=_urgency)
    shown = labels if room is None else labels[: max(LABELS_MIN, room)]
    title = f"labels: {len(labels)}" if len(shown) == len(labels) else f"labels: {len(shown)} of {len(labels)}"
    return Group(*above, Text(), _table(title, _label_columns(overview, numbers), shown, width), Text(), consumers)


def _lines(texts: Sequence[Text], width: int) -> int:
    """How many lines the texts take; the estimate for folded ones has some reserve."""
    return sum(1 if text.no_wrap else 1 + text.cell_len // (width - 10) for text in texts)


def _urgency(row: LabelRow) -> tuple[int, float, str]:
    """Trouble first, then by backlog."""
    return min(_GRAVITY.index(row.state), _GRAVITY.index("loading")), -row.backlog_seconds, row.label


def _head(overview: Overview, gateway: GatewayStats | None, trouble: str) -> list[Text]:
    at = time.strftime("%H:%M:%S", time.localtime(overview.at))
    head = [Text.assemble(("inference-engine", "bold"), f"  {at}"), _line(_sums(overview.totals))]
    if gateway is not None:
        head.append(_line(_callers(gateway)))
    if trouble:
        head.append(Text(f"✕ no newer reading: {' '.join(trouble.split())}", "red", no_wrap=True, overflow="ellipsis"))
    return head


def _line(parts: list[str]) -> Text:
    return Text(" · ", overflow="fold").join(Text(part) for part in parts)


def _callers(gateway: GatewayStats) -> list[str]:
    """How many callers wait at the gateway, and its recent latency."""
    latency = gateway.latency_ms
    quantiles = (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99))
    refused = gateway.outcomes.get("queue-full", 0) + gateway.outcomes.get("ttl", 0)
    return [
        f"gateway {gateway.process}",
        f"{gateway.waiting} {'caller waits' if gateway.waiting == 1 else 'callers wait'}",
        f"{gateway.in_flight} in flight",
        *(f"{name} {duration(None if value is None else value / 1000)}" for name, value in quantiles),
        f"{refused} refused",
    ]


def _sums(totals: Totals) -> list[str]:
    draining = f" and {totals.draining} draining" if totals.draining else ""
    per_job = "" if totals.misses_per_job is None else f" ({totals.misses_per_job:.2g} per job)"
    return [
        f"{number(totals.jobs_per_second)} jobs/s",
        f"{totals.visible} waiting",
        f"{totals.in_flight} in flight",
        f"oldest {duration(totals.oldest_age_seconds)}",
        f"backlog {duration(totals.backlog_seconds)}",
        f"{totals.consumers} {'consumer' if totals.consumers == 1 else 'consumers'}{draining}",
        f"{totals.slots - totals.free_slots} of {totals.slots} slots used",
        f"{totals.misses} {'miss' if totals.misses == 1 else 'misses'}{per_job}",
    ]


def _troubles(overview: Overview) -> list[Text]:
    told = [("unserved", label, "cannot be shown: its queue does not respond") for label in overview.unread]
    told += [
        ("failing" if row.failure else "unserved", row.label, _trouble(row))
        for row in overview.labels
        if row.needs_attention
    ]
    lines = [
        Text.assemble((f"{_SIGNS[state][0]} ", "red"), (label, "bold"), f" {why}")
        for state, label, why in told[:TROUBLES_MAX]
    ]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines + ([Text(f"  and {len(told) - TROUBLES_MAX} more")] if len(told) > TROUBLES_MAX else [])


def _trouble(row: LabelRow) -> str:
    if row.failure:
        again = duration(max(0.0, row.failure.seconds_left))
        return (
            f"could not be loaded (tries: {row.failure.tries}, next in {again}): {' '.join(row.failure.reason.split())}"
        )
    return f"has waiting jobs ({row.visible}) and no consumer"


def _label_columns(overview: Overview, numbers: dict[str, str]) -> list[Column]:
    return [
        Column("label", lambda row: row.label, left=True),
        Column("state", _state, left=True),
        Column("held by", lambda row: _held_by(row, overview.consumers, numbers), 4, left=True),
        Column("waiting", lambda row: str(row.visible)),
        Column("in flight", lambda row: str(row.in_flight), 1),
        Column("oldest", lambda row: duration(row.oldest_age_seconds), 5),
        Column("backlog", lambda row: duration(row.backlog_seconds), 3),
        Column("lanes", lambda row: str(row.lanes), 9),
        Column("jobs/s", lambda row: number(row.jobs_per_second), 2),
        Column("busy", lambda row: "–" if row.busy is None else f"{row.busy:.0%}", 6),
        Column("service", lambda row: duration(row.service_seconds), 7),
        Column("task", lambda row: duration(row.task_seconds), 10),
        Column("load", lambda row: duration(row.load_seconds), 8),
    ]


def _consumer_columns(numbers: dict[str, str]) -> list[Column]:
    return [
        Column("", lambda row: numbers[row.consumer_id], 3),
        Column("consumer", lambda row: row.consumer_id, left=True),
        Column("state", _state, left=True),
        Column("slots", lambda row: f"{row.slots - row.free_slots} of {row.slots}"),
        Column("in flight", lambda row: str(row.in_flight), 1),
        Column("jobs", lambda row: str(row.jobs), 4),
        Column("jobs/s", lambda row: number(row.jobs_per_second), 2),
        Column("misses", lambda row: str(row.misses), 5),
        Column("lease", lambda row: duration(max(0.0, float(round(row.lease_seconds_left)))), 8),
    ]


def _held_by(row: LabelRow, consumers: Sequence[ConsumerRow], numbers: dict[str, str]) -> str:
    """The numbers of the consumers that have the label loaded, and in parentheses of those loading it; or how many."""
    loaded = [numbers[one.consumer_id] for one in consumers if row.label in one.loaded]
    loading = [f"({numbers[one.consumer_id]})" for one in consumers if row.label in one.loading]
    holders = loaded + loading
    return " ".join(holders) if len(holders) <= HOLDERS_MAX else f"{len(holders)} of them"


def _table(title: str, columns: Sequence[Column], rows: Sequence[Any], width: int) -> Table:
    cells = {column: [column.cell(row) for row in rows] for column in columns}
    widths = {
        column: max(len(column.title), *(len(cell) for cell in of_column), 0) for column, of_column in cells.items()
    }
    shown, name_width = _fitting(columns, widths, width)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in shown:
        name = column.title in _NAMES
        justify: JustifyMethod = "left" if column.left else "right"
        column_width = name_width if name else widths[column]
        table.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis", width=column_width)
    for line in zip(*(cells[column] for column in shown), strict=True):
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in line))
    return table


def _fitting(columns: Sequence[Column], widths: dict[Column, int], width: int) -> tuple[list[Column], int]:
    """The columns that fit, and the width of the column of names: names are shortened, numbers are not."""
    shown = list(columns)
    while True:
        others = sum(widths[column] for column in shown if column.title not in _NAMES)
        longest = max(widths[column] for column in shown if column.title in _NAMES)
        room = width - others - GAP * (len(shown) - 1)
        spare = max(shown, key=lambda column: column.spare)
        if room >= min(longest, NAME_MIN) or not spare.spare:
            return shown, max(1, min(longest, room))
        shown.remove(spare)


def _state(row: LabelRow | ConsumerRow) -> Text:
    sign, style = _SIGNS[row.state]
    return Text(f"{sign} {row.state}", style)


def number(value: float | None) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as people read them."""
    if seconds is None:
        return "–"
    if seconds and seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
