"""Flow control alone, on one core: how many requests it dispatches per second, and how long one decision takes."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inference_engine.gateway.dispatch.flow_control import FlowController, Limits, Room

from .report import Aim, Report

LABELS, FLOWS, BANDS = 40, 1000, 8
#: Requests of each label in flight at once, in the steady state: with fewer, most decisions find the label saturated again.
ROOM = 64
AIM_PER_SECOND = 100_000
#: The best of this many rounds counts: other work on the machine can only slow a run.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Requests per second, and microseconds per decision."""

    emptied_per_second: float
    steady_per_second: float
    p50_microseconds: float
    p99_microseconds: float


def run(quick: bool, plots: Path) -> Report:
    """Measure both orders and, beside them, the plainest queue that has priorities."""
    waiting = 5_000 if quick else 50_000
    report = Report("flow", "Flow control of the gateway", "make bench ARGS=flow")
    table = report.table(
        f"{waiting:,} requests wait, of {FLOWS:,} flows in {BANDS} bands, for {LABELS} labels; one core",
        "order",
        "dispatches/s until all went",
        "dispatches/s while as many come",
        "p50 of a decision, µs",
        "p99 of a decision, µs",
    )
    orders: tuple[Literal["fcfs", "edf"], ...] = ("fcfs", "edf")
    found = {order: _best(order, waiting) for order in orders}
    for order, one in found.items():
        table.add(
            "first come, first served" if order == "fcfs" else "earliest deadline first",
            round(one.emptied_per_second),
            round(one.steady_per_second),
            one.p50_microseconds,
            one.p99_microseconds,
        )
    plain = max(asyncio.run(_plain(waiting)) for _ in range(ROUNDS))
    table.add("asyncio.PriorityQueue: no flows, no bounds, nobody leaves", round(plain), None, None, None)
    report.aims = [
        Aim(f"flow control ({order}), dispatches a second", round(one.emptied_per_second), "≥", AIM_PER_SECOND)
        for order, one in found.items()
    ]
    report.notes = [
        "A decision is one dispatch with all its counts: which band, label, flow and request. The aim applies to these. "
        "The steady-state rate also includes the time to release the slot and to enqueue the next request.",
    ]
    return report


def _best(order: Literal["fcfs", "edf"], waiting: int) -> Found:
    return max((asyncio.run(_measure(order, waiting)) for _ in range(ROUNDS)), key=lambda one: one.emptied_per_second)


def _controller(order: Literal["fcfs", "edf"], room: list[int]) -> FlowController:
    bounds = {"requests": 1_000_000, "bytes": 1 << 40, "bands": BANDS, "concurrency": 1_000_000}
    return FlowController(Limits(**bounds, ttl_seconds=3600, order=order), lambda label: Room(room[0]))


def _enter(flow: FlowController, number: int) -> None:
    flow.enqueue(
        f"label-{number % LABELS}",
        priority=number // FLOWS % BANDS,
        path=("", f"flow-{number % FLOWS}"),
        size_bytes=1000,
        seconds=300 + number % 97,
    )


async def _measure(order: Literal["fcfs", "edf"], waiting: int) -> Found:
    room = [0]
    flow = _controller(order, room)
    for number in range(waiting):
        _enter(flow, number)
    room[0] = waiting
    flow.sweep()
    gc.collect()
    started = time.perf_counter()
    while flow.dispatch(128):
        pass
    emptied = waiting / (time.perf_counter() - started)
    steady, decisions = _steady(order, waiting)
    return Found(emptied, steady, 1e6 * decisions[len(decisions) // 2], 1e6 * decisions[len(decisions) * 99 // 100])


def _steady(order: Literal["fcfs", "edf"], waiting: int) -> tuple[float, list[float]]:
    """Slots become free and requests arrive one by one, while `waiting` requests wait all the time."""
    flow = _controller(order, [ROOM])
    for number in range(waiting):
        _enter(flow, number)
    while flow.dispatch(128):
        pass
    decisions = []
    gc.collect()
    started = time.perf_counter()
    for number in range(waiting, 2 * waiting):
        flow._released(flow._labels[f"label-{number % LABELS}"])
        before = time.perf_counter()
        gone = flow.dispatch(1)
        decisions.append(time.perf_counter() - before)
        assert gone == 1
        _enter(flow, number)
    return waiting / (time.perf_counter() - started), sorted(decisions)


async def _plain(waiting: int) -> float:
    queue: asyncio.PriorityQueue[tuple[int, int]] = asyncio.PriorityQueue()
    for number in range(waiting):
        queue.put_nowait((-(number // FLOWS % BANDS), number))
    started = time.perf_counter()
    while not queue.empty():
        queue.get_nowait()
    return waiting / (time.perf_counter() - started)
