"""`top` in a terminal: what is shown, and what of it where there is little room."""

from __future__ import annotations

import io
import re
import time
from typing import cast

import pytest
from rich.console import Console

from inference_engine.cli import top
from inference_engine.cli.top_tables import duration, number, screen
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.fleet.view import ConsumerView, Fleet, LabelStatistics, LoadFailure
from inference_engine.gateway.dispatch.stats import GatewayStats, LatencyStats
from inference_engine.operations.activity import Activity
from inference_engine.operations.backlog import LabelWork
from inference_engine.operations.overview import Overview

NOW = time.time()
BROKEN = LoadFailure("broken", 3, "ModelLoadError: no [such] key\nin the bucket", NOW + 30)


def overview(labels: int = 0) -> Overview:
    told = LabelStatistics(load_seconds=2, service_seconds=0.02, task_seconds=0.004, busy=0.25, jobs=10)
    views = (
        ConsumerView(consumer_id="first", lease_until=NOW + 30, loaded={"red": told}, free_slots=1, jobs=10, misses=1),
        ConsumerView(consumer_id="second", lease_until=NOW + 30, loading=("red",), draining=True),
    )
    work = [
        LabelWork("red", visible=3, in_flight=1, lanes=2, holders=1, loaded=True, task_seconds=0.004, busy=0.25),
        LabelWork("[bold]blue", visible=2, oldest_at=NOW - 90),
        *(LabelWork(f"label-{number:03d}") for number in range(labels)),
    ]
    return Overview.of(
        Fleet(views, NOW),
        work,
        [BROKEN],
        now=NOW,
    )


def drawn(
    shown: Overview, width: int, height: int | None = None, trouble: str = "", gateway: GatewayStats | None = None
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(screen(shown, gateway, trouble, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_what_is_shown() -> None:
    lines = drawn(overview(), 140)
    text = "\n".join(lines)
    assert "– jobs/s · 5 waiting · 1 in flight · oldest 1.5 min" in text
    assert "1 consumer and 1 draining · 1 of 2 slots used · 1 miss (0.1 per job)" in text
    assert "✕ broken could not be loaded (tries: 3, next in 30 s): ModelLoadError: no [such] key in the bucket" in text
    assert "▲ [bold]blue has waiting jobs (2) and no consumer" in text
    (red,) = [line.split() for line in lines if line.startswith("red ")]
    assert red[:4] == ["red", "■", "loaded", "1"]
    assert red[4] == "(2)"
    assert re.search(r"^2 +second +◐ draining", text, re.MULTILINE)


def test_a_gateway_tells_who_waits_and_how_long_it_took() -> None:
    stats = GatewayStats(
        process="machine/7",
        waiting=1,
        in_flight=12,
        bands=[],
        outcomes={"dispatched": 90, "queue-full": 3, "ttl": 2},
        latency_ms=LatencyStats(p50=40, p95=1200, p99=None, count=90),
    )
    text = "\n".join(drawn(overview(), 140, gateway=stats))
    assert "gateway machine/7 · 1 caller waits · 12 in flight · p50 40 ms · p95 1.2 s · p99 – · 5 refused" in text
    assert max(len(line) for line in drawn(overview(500), 50, 24, gateway=stats)) <= 50
    assert len(drawn(overview(500), 50, 24, gateway=stats)) <= 24


def test_trouble_goes_first_then_backlog() -> None:
    lines = drawn(overview(2), 140)
    begin = next(index for index, line in enumerate(lines) if line.startswith("labels: 5"))
    names = [line.split()[0] for line in lines[begin + 2 : begin + 7]]
    assert names == ["broken", "[bold]blue", "red", "label-000", "label-001"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    lines = drawn(overview(), width)
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    assert not [line for line in lines if "…" in line and not line.startswith(("✕", "▲"))], "names fit here, at least"
    assert "waiting" in text
    assert "in flight" in text or width < 50
    assert ("service" in text) == (width >= 100)


def test_long_names_give_way_to_numbers() -> None:
    view = ConsumerView(consumer_id="c" * 100, lease_until=NOW + 30, jobs=123_456)
    work = [LabelWork("x" * 200, visible=123_456, holders=1)]
    lines = drawn(Overview.of(Fleet((view,), NOW), work, (), now=NOW), 80)
    assert max(len(line) for line in lines) <= 80
    (label,) = [line for line in lines if line.startswith("xxx")]
    assert re.match(r"x{10,}… +◩ loading +123456 ", label)
    assert "123456 " in lines[-1]


def test_a_label_on_many_consumers_is_counted() -> None:
    told = LabelStatistics()
    views = [ConsumerView(consumer_id=f"c{number}", lease_until=NOW + 30, loaded={"red": told}) for number in range(12)]
    shown = Overview.of(Fleet(tuple(views), NOW), [LabelWork("red", holders=12, loaded=True)], (), now=NOW)
    assert any("12 of them" in line for line in drawn(shown, 140))


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("height", [24, 40])
def test_many_labels_do_not_push_the_consumers_off_the_terminal(height: int, width: int) -> None:
    lines = drawn(overview(500), width, height)
    assert len(lines) <= height
    assert "second" in lines[-1]
    assert any(re.fullmatch(r"labels: \d+ of 503 *", line) for line in lines)


def test_a_reading_that_failed_is_told_in_one_line() -> None:
    lines = drawn(overview(), 60, trouble="sqs refused:\n" + "again and " * 20)
    assert len([line for line in lines if "no newer reading: sqs refused: again" in line]) == 1


class Enough(Exception):
    """Ends a watch that would go on for ever."""


async def test_a_later_reading_that_fails_is_shown_with_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Activity | Exception] = [Activity((), Fleet(), (), (), NOW), TransportError("sqs refused")]

    async def reads(*_arguments: object, **_options: object) -> Activity:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def show(reading: top.Reading, trouble: str) -> None:
        shown.append((reading.overview.at, trouble))
        if not answers:
            raise Enough

    shown: list[tuple[float, str]] = []
    monkeypatch.setattr("inference_engine.operations.activity.read_activity", reads)
    read = top._from_aws(cast(Deployment, None))  # nothing else of it is asked
    with pytest.raises(Enough):
        await top._watch(read, show, 0.001)
    assert shown == [(NOW, ""), (NOW, "sqs refused")]
    answers.append(TransportError("no such table"))
    with pytest.raises(TransportError):
        await top._watch(read, show, 0.001)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.0042, "4.2 ms"),
        (1.5, "1.5 s"),
        (90.0, "1.5 min"),
        (7200.0, "2 h"),
        (1e6, "11.6 d"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text
