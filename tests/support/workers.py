"""Consumer processes for tests: started, watched, killed by pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference_engine.settings import Settings

from .project import PROJECT
from .waiting import HANG_SECONDS, eventually


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment variables that make the same settings in a child process."""
    values = {f"INFERENCE_ENGINE_{name.upper()}": value for name, value in settings.model_dump().items()}
    return {name: str(value) for name, value in values.items() if value is not None}


def behave(body: dict[str, Any], message_id: str, label: str) -> dict[str, Any]:
    """The job function of worker processes: does what the body says."""
    folder = Path(body["folder"]) if "folder" in body else None
    if folder is not None:
        with (folder / "starts").open("a") as file:
            file.write(f"{message_id} {os.getpid()}\n")
    match body.get("do", "echo"):
        case "hold":
            assert folder is not None
            eventually((folder / "go").exists, "the test lets the job go on")
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise RuntimeError("as told")
    return {"n": body.get("n"), "label": label, "pid": os.getpid()}


class Worker:
    """A consumer process that runs `behave`."""

    def __init__(self, settings: Settings, *, max_labels: int = 2) -> None:
        command = [sys.executable, "-m", "tests.support.workers", str(max_labels)]
        self.process = subprocess.Popen(command, env={**os.environ, **environment_of(settings)}, cwd=PROJECT)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(HANG_SECONDS)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(HANG_SECONDS)


@contextlib.contextmanager
def workers(settings: Settings, count: int, **options: Any) -> Iterator[list[Worker]]:
    """Some consumer processes, ended with the block whatever happened."""
    started: list[Worker] = []
    try:
        started.extend(Worker(settings, **options) for _ in range(count))
        yield started
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.kill()


if __name__ == "__main__":
    from inference_engine import Consumer

    Consumer(compute_result=behave, max_labels=int(sys.argv[1])).run()
