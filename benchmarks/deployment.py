"""A deployment to measure: its own emulator, queues and tables, consumer processes; requests are counted on demand."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from inference_engine.aws.provision import provision_now
from inference_engine.local import log_files
from inference_engine.local.emulator import Emulator, http_ok
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.settings import Settings
from tests.support.fault_proxy import FaultProxy

from .report import ROOT

#: A consumer imports its libraries and connects within a second; a busy machine takes longer.
READY_SECONDS = 60.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class EmulatedDeployment:
    """Where producers and consumers of this process and its children post and receive. `proxy` counts requests, if wanted."""

    settings: Settings
    emulator: Emulator
    proxy: FaultProxy | None = None

    @property
    def endpoint_url(self) -> str:
        """The endpoint for AWS clients."""
        return self.proxy.url if self.proxy else self.emulator.endpoint_url

    def environment(self) -> dict[str, str]:
        """The variables with which a child process, including a peer, uses this deployment."""
        values = {f"INFERENCE_ENGINE_{name.upper()}": value for name, value in self.settings.model_dump().items()}
        ours = {name: str(value) for name, value in values.items() if value is not None}
        return self.emulator.environment() | {"AWS_ENDPOINT_URL": self.endpoint_url} | ours


@contextmanager
def deployment(*, counted: bool = False, **settings: Any) -> Iterator[EmulatedDeployment]:
    """An emulator with nothing else on it; meanwhile this process's environment variables point to it.

    `counted` puts a proxy in front of it whose `calls` count requests by operation. `settings` are those of Settings.
    """
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator())
        proxy = stack.enter_context(FaultProxy(emulator.endpoint_url, share=0)) if counted else None
        deployed = EmulatedDeployment(Settings(**{"prefix": "bench", **settings}), emulator, proxy)
        stack.enter_context(mock.patch.dict(os.environ, deployed.environment()))
        provision_now(deployed.settings)
        yield deployed


@dataclass(slots=True)
class ConsumerProcess:
    """One `inference-engine consume` of a deployment."""

    process: ChildProcess
    http_port: int

    def stats(self) -> dict[str, Any]:
        """Its numbers by label: see GET /stats."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.http_port}/stats", timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    @property
    def misses(self) -> int:
        """Loads so far, over all labels."""
        return sum(int(counts["misses"]) for counts in self.stats()["labels"].values())

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the process has used since its start (user and system)."""
        assert self.process.pid is not None
        return cpu_seconds(self.process.pid)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, from /proc/PID/stat (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


@contextmanager
def consumers(
    deployed: EmulatedDeployment, count: int, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[list[ConsumerProcess]]:
    """`count` consumer processes, ready; `arguments` are those of `inference-engine consume`."""
    variables = {**os.environ, **deployed.environment(), **(environment or {})}
    with ExitStack() as stack:
        started = []
        for number in range(count):
            port = free_port()
            process = ChildProcess(
                [
                    *(sys.executable, "-m", "inference_engine.cli", "consume", *arguments),
                    *("--http-port", str(port), "--consumer-id", f"consumer-{number}", "--log-level", "WARNING"),
                ],
                log_file=log_files.log_file("bench-consumer", port),
                environment=variables | {"PYTHONPATH": str(ROOT)},
            )
            process.start()
            stack.callback(process.stop, 30.0)
            started.append(ConsumerProcess(process, port))
        for one in started:
            url = f"http://127.0.0.1:{one.http_port}/readyz"
            one.process.wait_until_ready(lambda url=url: http_ok(url), timeout_seconds=READY_SECONDS)  # type: ignore[misc]
        yield started
