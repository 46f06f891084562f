"""What a producer pays for each pending job, from a thousand to a hundred thousand at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from inference_engine.jobs.job import ResultStatus
from tests.support.fault_proxy import FaultProxy

from ..deployment import EmulatedDeployment
from ..report import ROOT
from .records import with_records

#: Labels of the pending jobs: how often a producer looks depends on labels, not on jobs.
LABELS = 5
#: The longest pause between two looks, in seconds; shortened so that a process soon reaches its steady pace.
POLL_MAX_SECONDS = 0.2
#: The pause grows with the time waited; after this long it has reached that limit.
STEADY_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class WaitingCost:
    """What one process that waits for `count` jobs reported; cores, seconds, bytes."""

    count: int
    bytes_per_id: float
    begin_seconds_per_id: float
    cores: float
    requests_per_second: float
    stall_seconds: float
    cancel_seconds: float


def measure(deployed: EmulatedDeployment, counts: Sequence[int], seconds: float) -> list[WaitingCost]:
    """One process for each count, all waiting in the same `seconds`."""
    pending = with_records(deployed, max(counts), ResultStatus.SUBMITTED, LABELS)
    with ExitStack() as stack:
        running: dict[int, tuple[_Process, dict[str, float]]] = {}
        for count in sorted(counts, reverse=True):
            process = stack.enter_context(_Process(pending, count))
            # One after the other: starting takes a whole core, waiting does not.
            running[count] = process, process.hear()
        time.sleep(STEADY_SECONDS)
        with ThreadPoolExecutor(len(running)) as pool:
            return list(pool.map(lambda count: running[count][0].observe(seconds, running[count][1]), counts))


class _Process:
    """A child process that waits, whose requests a separate proxy counts."""

    def __init__(self, deployed: EmulatedDeployment, count: int) -> None:
        self._count = count
        self._environment = {**os.environ, **deployed.environment(), "PYTHONPATH": str(ROOT)}
        self._proxy = FaultProxy(deployed.emulator.endpoint_url, share=0)

    def __enter__(self) -> _Process:
        self._proxy.__enter__()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.growth.waiting_process", str(self._count)],
            env=self._environment
            | {"AWS_ENDPOINT_URL": self._proxy.url, "INFERENCE_ENGINE_POLL_MAX_SECONDS": str(POLL_MAX_SECONDS)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._proxy.__exit__(None, None, None)

    def hear(self) -> dict[str, float]:
        """The next line that it reports."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that waits for {self._count} jobs ended; its error is above")
        numbers: dict[str, float] = json.loads(line)
        return numbers

    def observe(self, seconds: float, begun: dict[str, float]) -> WaitingCost:
        """Let it wait for `seconds`, and collect what that cost."""
        assert self._process.stdin is not None
        before = self._proxy.calls.total()
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        waited = self.hear()
        requests = self._proxy.calls.total() - before
        return WaitingCost(
            self._count,
            waited["bytes"] / self._count,
            begun["cpu_seconds"] / self._count,
            waited["cores"],
            requests / waited["seconds"],
            waited["stall_seconds"],
            self.hear()["cancel_seconds"],
        )
