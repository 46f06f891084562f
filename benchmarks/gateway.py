"""What HTTP costs: calls through the gateway compared with the library's own blocking posts, in turns on one deployment."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from inference_engine import AsyncProducer
from inference_engine.local import log_files
from inference_engine.local.emulator import http_ok
from inference_engine.local.processes import ChildProcess, free_port

from .deployment import READY_SECONDS, EmulatedDeployment, consumers, cpu_seconds, deployment
from .report import ROOT, Aim, Report

LABELS = [f"label-{number}" for number in range(5)]
CALLERS = 64
OURS, GATEWAY = "AsyncProducer.post", "POST /v1/predict of the gateway"
BODY = {"n": 1, "text": "x" * 200}
#: A call through the gateway makes the library's requests and, now and then, a read of the registry. With fewer calls a second,
#: fewer calls also share a request.
AIM_MORE_REQUESTS = 0.5

Call = Callable[[str], Awaitable[Any]]


@dataclass(slots=True)
class Side:
    """One way to run a job: calls a second with many callers, seconds of lone calls, AWS requests a call."""

    rates: list[float] = field(default_factory=list)
    lone: list[float] = field(default_factory=list)
    requests: float = 0.0


def run(quick: bool, plots: Path) -> Report:
    """Measure both sides in turns."""
    calls, turns, lone = (200, 1, 10) if quick else (2000, 5, 100)
    sides = {OURS: Side(), GATEWAY: Side()}
    with deployment() as deployed, _gateway(deployed) as (process, url):
        cpu = asyncio.run(_turns(sides, url, process, calls, turns, lone))
    with deployment(counted=True) as deployed, _gateway(deployed) as (_, url):
        asyncio.run(_count(sides, deployed, url, calls // 2))
    report = Report("gateway", "The gateway beside the library", "make bench ARGS=gateway")
    table = report.table(
        f"Waiting callers, {len(LABELS)} labels, one consumer, trivial jobs; medians of {turns}",
        "",
        f"calls/s, {CALLERS} callers at once",
        "a lone call, ms",
        "AWS requests a call",
    )
    for name, side in sides.items():
        table.add(name, round(median(side.rates)), 1000 * median(side.lone), side.requests)
    rate, latency = (
        median(a / b for a, b in zip(sides[GATEWAY].rates, sides[OURS].rates, strict=True)),
        median(sides[GATEWAY].lone) / median(sides[OURS].lone),
    )
    ratios = report.table("The gateway as a multiple of the library", "", "calls/s", "seconds of a lone call")
    ratios.add("median of turns side by side", rate, latency)
    report.aims = [
        Aim(
            "AWS requests of a call through the gateway beyond the library's",
            sides[GATEWAY].requests - sides[OURS].requests,
            "≤",
            AIM_MORE_REQUESTS,
        )
    ]
    report.notes = [
        f"The gateway used {1000 * cpu:.1f} ms of processor time a call. Client, gateway, consumer and emulator share the "
        "machine's cores, so the calls a second of both sides depend on all four."
    ]
    return report


@contextmanager
def _gateway(deployed: EmulatedDeployment) -> Iterator[tuple[ChildProcess, str]]:
    """A consumer for all labels, and a gateway."""
    arguments = ("--function", "benchmarks.functions:echo", "--max-labels", str(2 * len(LABELS)))
    port = free_port()
    process = ChildProcess(
        [sys.executable, "-m", "inference_engine.cli", "gateway", "--port", str(port), "--log-level", "WARNING"],
        log_file=log_files.log_file("bench-gateway", port),
        environment={**os.environ, **deployed.environment(), "PYTHONPATH": str(ROOT)},
    )
    with consumers(deployed, 1, *arguments):
        process.start()
        url = f"http://127.0.0.1:{port}"
        try:
            process.wait_until_ready(lambda: http_ok(f"{url}/readyz"), timeout_seconds=READY_SECONDS)
            yield process, url
        finally:
            process.stop(20.0)


@asynccontextmanager
async def _both(url: str) -> AsyncIterator[dict[str, Call]]:
    connector = aiohttp.TCPConnector(limit=CALLERS)
    async with AsyncProducer() as producer, aiohttp.ClientSession(url, connector=connector) as session:

        async def post(label: str) -> None:
            assert (await producer.post(BODY, label)).ok

        async def over_http(label: str) -> None:
            async with session.post("/v1/predict", json={"model_name": label, "inputs": BODY}) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

        calls: dict[str, Call] = {OURS: post, GATEWAY: over_http}
        for call in calls.values():
            await asyncio.gather(*(call(label) for label in LABELS))
        yield calls


async def _turns(sides: dict[str, Side], url: str, process: ChildProcess, calls: int, turns: int, lone: int) -> float:
    """Fill in rates and lone calls; return the gateway's processor seconds per call."""
    cpu = 0.0
    assert process.pid is not None
    async with _both(url) as both:
        for _ in range(turns):
            for name, call in both.items():
                before = cpu_seconds(process.pid)
                sides[name].rates.append(calls / await _waiting_bands(call, calls))
                cpu += cpu_seconds(process.pid) - before if name == GATEWAY else 0.0
        for _ in range(lone):
            for name, call in both.items():
                started = time.perf_counter()
                await call(LABELS[0])
                sides[name].lone.append(time.perf_counter() - started)
    return cpu / (calls * turns)


async def _count(sides: dict[str, Side], deployed: EmulatedDeployment, url: str, calls: int) -> None:
    assert deployed.proxy is not None
    async with _both(url) as both:
        for name, call in both.items():
            before = deployed.proxy.calls.total()
            await _waiting_bands(call, calls)
            sides[name].requests = (deployed.proxy.calls.total() - before) / calls


async def _waiting_bands(call: Call, calls: int) -> float:
    """Seconds that `calls` calls take, CALLERS of them at once."""
    left = iter(range(calls))

    async def caller() -> None:
        for number in left:
            await call(LABELS[number % len(LABELS)])

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - started
