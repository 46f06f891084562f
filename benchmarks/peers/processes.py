"""The processes of a contender: a producer that takes commands, a consumer, and what they cost."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_engine.local.log_files import log_file, tail_of_file
from inference_engine.local.processes import ChildProcess, free_port

from ..report import ROOT

#: A command that takes longer hangs: even the slowest peer does more than a hundred jobs a second.
COMMAND_SECONDS = 120.0
#: Seconds between two checks whether its consumer still runs.
LOOK_SECONDS = 0.5
STOP_SECONDS = 30.0


class ContenderError(Exception):
    """A contender does not run here, or hangs."""


@dataclass(slots=True)
class ProducerProcess:
    """A process that serves commands: see `driver`."""

    process: subprocess.Popen[str]
    log_file: Path
    consumer: ChildProcess | None = None

    def do(self, name: str, **arguments: Any) -> dict[str, float]:
        """Have it carry out a command; returns its answer. Raises ContenderError with the end of its log."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": name, **arguments}) + "\n")
            self.process.stdin.flush()
        line = self._line()
        if not line:
            raise ContenderError(f"{name} was not answered; end of {self.log_file}:\n{tail_of_file(self.log_file)}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def _line(self) -> str:
        """Its answer; empty if the process or the consumer that it needs has ended, or if it takes too long."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + COMMAND_SECONDS
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], LOOK_SECONDS)[0]:
                return self.process.stdout.readline()
            if self.consumer is not None and not self.consumer.running:
                self.log_file = self.consumer.log_file
                break
        self.process.kill()
        return ""


@contextmanager
def producer(
    command: Sequence[str], environment: Mapping[str, str], consumer: ChildProcess | None = None
) -> Iterator[ProducerProcess]:
    """Run a producer, which ends when its input does. Its commands stop waiting when its `consumer` has ended."""
    log_file = _log_file()
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdin is not None
    try:
        yield ProducerProcess(process, log_file, consumer)
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def consumer(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[ChildProcess]:
    """Run a consumer. Its first finished job shows that it is ready."""
    process = ChildProcess(command, log_file=_log_file(), environment=environment)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def module_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables with which a contender's interpreter finds its module in this package."""
    return {**environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _log_file() -> Path:
    file = log_file("bench-contender", free_port())
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
