"""The gateway as a user starts it: a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from inference_engine.local.processes import free_port
from inference_engine.settings import GATEWAY_ENV_PREFIX, Settings

from .waiting import HANG_SECONDS, eventually
from .workers import environment_of


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A gateway that listens at `url`."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def gateway_process(settings: Settings, **overrides: object) -> Iterator[GatewayProcess]:
    """`inference-engine gateway` for a deployment, ready; killed with the block if it has not ended by then."""
    port = free_port()
    given = {f"{GATEWAY_ENV_PREFIX}{name.upper()}": str(value) for name, value in ({"port": port} | overrides).items()}
    command = [sys.executable, "-m", "inference_engine.cli", "gateway"]
    process = subprocess.Popen(command, env={**os.environ, **environment_of(settings), **given})
    gateway = GatewayProcess(process, f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: gateway.ready or process.poll() is not None, "the gateway is ready")
        assert process.poll() is None, "the gateway has ended"
        yield gateway
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(HANG_SECONDS)
