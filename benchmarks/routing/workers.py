"""Fleets of consumer processes, each with its own Triton server or with models that only sleep."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deployment import READY_SECONDS, ConsumerProcess, EmulatedDeployment
from benchmarks.report import ROOT
from inference_engine.local import log_files
from inference_engine.local.emulator import http_ok
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.local.triton import TritonServer

#: A stopping consumer waits for its long polls to return.
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Slept:
    """Models that take only time, in seconds."""

    load_seconds: float
    unload_seconds: float
    job_seconds: float


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """`models` is a Triton repository or the times to sleep. With `queue_name`, dispatch is random."""

    consumers: int
    slots: int
    models: Path | Slept
    queue_name: str | None = None
    journal: Path | None = None

    @property
    def total_slots(self) -> int:
        """Labels that the whole fleet can hold."""
        return self.consumers * self.slots


@contextmanager
def workers(deployed: EmulatedDeployment, plan: FleetPlan) -> Iterator[list[ConsumerProcess]]:
    """The consumers of a plan, ready to take jobs."""
    variables = os.environ | deployed.environment() | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        started = []
        for number in range(plan.consumers):
            port = free_port()
            process = ChildProcess(
                _command(plan, f"consumer-{number}", port, _computes(plan, stack)),
                log_file=log_files.log_file("bench-routing", port),
                environment=variables,
            )
            process.start()
            started.append(ConsumerProcess(process, port))
        stack.callback(_stop, started)
        for one in started:
            url = f"http://127.0.0.1:{one.http_port}/readyz"
            one.process.wait_until_ready(lambda url=url: http_ok(url), timeout_seconds=READY_SECONDS)  # type: ignore[misc]
        yield started


def _computes(plan: FleetPlan, stack: ExitStack) -> list[str]:
    if isinstance(plan.models, Slept):
        times = (plan.models.load_seconds, plan.models.unload_seconds, plan.models.job_seconds)
        return ["--sleep", *map(str, times)]
    return ["--triton", stack.enter_context(TritonServer(plan.models)).grpc_url]


def _command(plan: FleetPlan, consumer: str, port: int, computes: Sequence[str]) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmarks.routing.worker", *computes, "--slots", str(plan.slots)),
        *("--http-port", str(port), "--consumer-id", consumer),
        *(["--queue-name", plan.queue_name] if plan.queue_name else []),
        *(["--journal", str(plan.journal)] if plan.journal else []),
    ]


def _stop(started: Sequence[ConsumerProcess]) -> None:
    """Stop all of them at once: each waits for its polls."""
    with ThreadPoolExecutor(max(len(started), 1)) as pool:
        list(pool.map(lambda one: one.process.stop(STOP_SECONDS), started))
