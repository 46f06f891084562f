"""The overview of a real deployment: counters of consumers, what the gateway serves of it, and `top`."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import aiohttp
import pytest

from inference_engine import AsyncConsumer, AsyncProducer
from inference_engine.cli import main
from inference_engine.consumer import membership
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import ConsumerView
from inference_engine.gateway.apis.status import RESULT_MAX_CHARACTERS
from inference_engine.gateway.dispatch import service
from inference_engine.gateway.http.paths import PAGE_FILES
from inference_engine.operations.activity import Activity, read_activity
from inference_engine.operations.overview import RATE_MIN_SECONDS
from inference_engine.settings import Settings
from tests.support.gateway import running_gateway
from tests.support.waiting import HANG_SECONDS
from tests.support.workers import environment_of


def echo(body: Any, message_id: str) -> Any:
    return body


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[AsyncProducer, AsyncConsumer]]:
    consumer = AsyncConsumer(settings, compute_result=echo, max_labels=3, consumer_id="one")
    async with consumer, AsyncProducer(settings) as producer:
        yield producer, consumer


async def one(deployment: Deployment) -> ConsumerView:
    view = (await deployment.registry.fleet()).get("one")
    assert view is not None
    return view


async def until_told(deployment: Deployment, jobs: int) -> ConsumerView:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if (view := await one(deployment)).jobs == jobs:
                return view
            await asyncio.sleep(0.1)


@pytest.fixture
def quick_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are told after each second job, as soon as a rate can be made of them."""
    monkeypatch.setattr(membership, "COUNTS_SECONDS", RATE_MIN_SECONDS)
    monkeypatch.setattr(membership, "COUNTS_JOBS", 2)


@pytest.mark.usefixtures("quick_counts")
async def test_a_consumer_tells_its_counts_while_many_jobs_end(settings: Settings, deployment: Deployment) -> None:
    async with served(settings) as (producer, _):
        for label in ("red", "blue", "red"):
            await producer.post({}, label)
        first = await until_told(deployment, 3)
        assert first.misses == 2
        assert {label: told.jobs for label, told in first.loaded.items()} == {"red": 2, "blue": 1}
        before = (await read_activity(deployment, sweep_queues=0)).overview()
        await producer.post_many([{}] * 3, "red")
        told = await until_told(deployment, 6)
        # Sooner than the lease alone would have it written, though nothing changed that others go by.
        assert told.lease_until - first.lease_until < settings.lease_seconds / 2
        shown = (await read_activity(deployment, sweep_queues=0)).overview(before)
    rate = round(3 / (told.lease_until - first.lease_until), 3)
    assert shown.totals.jobs_per_second == shown.consumers[0].jobs_per_second == rate
    assert {row.label: row.jobs_per_second for row in shown.labels} == {"red": rate, "blue": 0.0}
    assert (shown.totals.jobs, shown.totals.misses, shown.totals.misses_per_job) == (6, 2, 0.333333)


@pytest.mark.usefixtures("quick_counts")
async def test_a_few_jobs_are_not_worth_a_write_beyond_those_that_the_lease_needs(
    settings: Settings, deployment: Deployment
) -> None:
    async with served(settings) as (producer, _):
        await producer.post_many([{}] * 3, "red")
        first = await until_told(deployment, 3)
        await producer.post({}, "red")
        await asyncio.sleep(RATE_MIN_SECONDS + 1)  # that nothing is written cannot be waited for
        assert await one(deployment) == first


# --- what the gateway serves ---------------------------------------------------------------------------------------------


async def test_one_reading_serves_all_who_look(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0

    async def counted(deployment: Deployment, *, sweep_queues: int) -> Activity:
        nonlocal readings
        readings += 1
        return await read_activity(deployment, sweep_queues=sweep_queues)

    monkeypatch.setattr(service, "read_activity", counted)
    with running_gateway(settings) as url:
        assert readings == 0, "nobody looks yet"
        async with aiohttp.ClientSession() as session:

            async def look() -> float:
                async with session.get(f"{url}/ui/data") as answer:
                    assert answer.status == 200
                    return float((await answer.json())["overview"]["at"])

            seen = await asyncio.gather(*(look() for _ in range(20)))
    assert len(set(seen)) == readings <= 2


async def test_the_data_of_the_page(settings: Settings) -> None:
    async with served(settings) as (producer, _):
        long = await producer.post("x" * 2 * RESULT_MAX_CHARACTERS, "red")
        with running_gateway(settings) as url:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{url}/ui/data") as answer:
                    data = await answer.json()
                async with session.get(f"{url}/ui/jobs/{long.message_id}") as answer:
                    job = await answer.json()
                async with session.post(f"{url}/ui/jobs/{long.message_id}/cancel") as answer:
                    cancelled = await answer.json()
                async with session.get(f"{url}/ui/jobs/nobody") as answer:
                    unknown = answer.status, answer.content_type
    assert [(row["label"], row["state"]) for row in data["overview"]["labels"]] == [("red", "loaded")]
    assert (data["deployment"], data["ready"], data["paused"]) == (settings.prefix, True, False)
    assert data["gateway"]["latency_ms"] == {"p50": None, "p95": None, "p99": None, "count": 0}
    assert set(data["gateway"]["outcomes"].values()) == {0}
    assert (job["status"], job["result_cut"], len(job["result"])) == ("SUCCESS", True, RESULT_MAX_CHARACTERS)
    assert job["submitted_at"] <= job["started_at"] <= job["finished_at"]
    assert cancelled == job
    assert unknown == (404, "application/problem+json")


async def test_the_page_needs_no_key_and_loads_nothing_from_elsewhere(settings: Settings) -> None:
    with running_gateway(settings, require_keys=True) as url:
        async with aiohttp.ClientSession() as session:
            for path in PAGE_FILES:
                async with session.get(url + path) as answer:
                    text = await answer.text()
                assert answer.status == 200
                policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
                assert policy["default-src"] == "'none'"
                assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
                assert "innerHTML" not in text
                assert "style=" not in text
                assert not [
                    part for part in text.split("http")[1:] if not part.lstrip("s").startswith("://www.w3.org/")
                ]
            async with session.get(f"{url}/ui/data") as refused:
                assert refused.status == 401


def test_all_files_of_the_page_are_served() -> None:
    folder = resources.files("inference_engine.gateway") / "ui"
    assert sorted(PAGE_FILES.values()) == sorted(file.name for file in folder.iterdir())


# --- top -----------------------------------------------------------------------------------------------------------------


def run_top(settings: Settings, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["top", "--once", "--prefix", settings.prefix, *arguments]) == 0
    return capsys.readouterr().out


async def test_top_prints_one_reading(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with served(settings) as (producer, _):
        await producer.post({}, "red")
        await producer.post_non_blocking({}, "waits-for-nobody", deadline=1e10)
        told = json.loads(await asyncio.to_thread(run_top, settings, capsys, "--json"))
        text = await asyncio.to_thread(run_top, settings, capsys)
    assert [row["consumer_id"] for row in told["consumers"]] == ["one"]
    assert "red" in {row["label"] for row in told["labels"]}
    lines = [line.split() for line in text.splitlines()]
    assert ["red", "loaded"] in [line[:2] for line in lines]
    assert ["one", "alive", "3"] in [line[:3] for line in lines]
    assert "\x1b" not in text


async def test_top_redraws_tables_on_a_terminal_until_it_is_interrupted(settings: Settings) -> None:
    async with served(settings) as (producer, _):
        await producer.post({}, "red")
        seen, code = await asyncio.to_thread(_on_terminal, settings)
    assert code == 0
    assert "■ loaded" in seen
    assert "● alive" in seen
    assert seen.count("inference-engine") >= 2
    assert "Traceback" not in seen


def _on_terminal(settings: Settings) -> tuple[str, int]:
    """What `top` writes to a terminal until it was drawn twice, and its exit code after ctrl-C."""
    ours, theirs = pty.openpty()
    environment = os.environ | environment_of(settings) | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "inference_engine.cli", "top", "--interval", "0.3"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    seen = b""
    try:
        while seen.count(b"inference-engine") < 2:
            seen += os.read(ours, 65_536)
        process.send_signal(2)
        while part := _read(ours):
            seen += part
        return seen.decode(errors="replace"), process.wait(HANG_SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    """More of what was written; nothing when the other side is closed."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
