"""Releases of the library as processes of their own, and a deployment as one of them sees it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

from inference_engine.local.processes import free_port
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import HANG_SECONDS, eventually

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
#: The wheel of each release that this tree must work with, by version.
WHEELS = {path.name.split("-")[1]: path for path in sorted(FOLDER.glob("inference_engine-*.whl"))}
#: Deliveries go to a receiver of this machine.
WEBHOOKS_VARIABLES = {"INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE": "true"}


@dataclass(frozen=True, slots=True)
class Release:
    """A running `release_process.py`, which imports the library from `source`."""

    name: str
    source: Path
    address: str
    process: subprocess.Popen[str]

    def wait_until_ready(self) -> None:
        """Wait until it can be asked, and check that it is what it should be."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "listening\n", f"release {self.name} did not start"
        assert self.ask("location") == str(self.source / "inference_engine")

    def ask(self, what: str, **arguments: Any) -> Any:
        """Have it do something, and return what comes back. Raises AssertionError with the traceback of what it raises."""
        with Client(self.address, "AF_UNIX") as connection:
            connection.send((what, arguments))
            done, answer = connection.recv()
        assert done, f"release {self.name}, {what}: {answer}"
        return answer


def environment_with(source: Path) -> dict[str, str]:
    """This process's own environment, in which Python imports the library from `source`."""
    return os.environ | {"PYTHONPATH": str(source)} | WEBHOOKS_VARIABLES


@contextlib.contextmanager
def running(name: str, source: Path) -> Iterator[Release]:
    """A release as a process, for the length of the block; it may not be ready yet."""
    # The address of a Unix socket has at most about a hundred characters, and folders of tests have long names.
    with tempfile.TemporaryDirectory(prefix="ie-") as folder:
        address = f"{folder}/socket"
        command = [sys.executable, str(FOLDER / "release_process.py"), address]
        with subprocess.Popen(
            command, env=environment_with(source), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            # The end of the block closes its standard input, which ends it.
            yield Release(name, source, address, process)


def unpacked(version: str, folder: Path) -> Path:
    """The folder with the files of a wheel, which Python can import as they are."""
    with zipfile.ZipFile(WHEELS[version]) as archive:
        archive.extractall(folder)
    return folder


def new_settings() -> dict[str, Any]:
    """Settings of a deployment of one's own that every release knows, quick, and with little room for payloads inline."""
    prefix = f"c{uuid.uuid4().hex[:8]}"
    return {
        "prefix": prefix,
        "bucket": f"{prefix}-payloads",
        "wait_time_seconds": 1,
        "placement_interval_seconds": 0.2,
        "placement_idle_seconds": 0.5,
        # A busy label loses its slot to nobody, be the machine ever so slow.
        "turn_min_seconds": HANG_SECONDS,
        "host_cache_seconds": 0.5,
        "poll_max_seconds": 0.1,
        "timeout_seconds": 30,
        "max_receive_count": 5,
        "body_inline_max_bytes": 4096,
        "result_inline_max_bytes": 4096,
    }


@dataclass(frozen=True, slots=True)
class Side:
    """A deployment as the programs of one release see it."""

    release: Release
    settings: dict[str, Any]

    def provision(self, **settings: Any) -> None:
        """Make what the deployment needs and does not have."""
        self.settings.update(settings)
        self._ask("provision")

    def post(self, body: Mapping[str, Any], label: str, **options: Any) -> str:
        """Post without waiting; the message id."""
        return str(self._ask("post", body=body, label=label, options=options))

    def post_and_wait(self, body: Mapping[str, Any], label: str) -> dict[str, Any]:
        """A blocking post; the response."""
        return dict(self._ask("post_and_wait", body=body, label=label, options={}))

    def wait(self, message_id: str) -> dict[str, Any]:
        """The response of a job, whoever posted it."""
        return dict(self._ask("wait", message_id=message_id))

    def status(self, message_id: str) -> str:
        return str(self._ask("status", message_id=message_id))

    def cancel(self, message_id: str) -> bool:
        return bool(self._ask("cancel", message_id=message_id))

    def consume(self, *, max_labels: int = 4, **settings: Any) -> str:
        """Start a consumer; its id."""
        consumer_id = f"{self.settings['prefix']}-{self.release.name}"
        given = self.settings | settings
        self.release.ask("consume", settings=given, consumer_id=consumer_id, max_labels=max_labels)
        return consumer_id

    def stop_consuming(self, consumer_id: str, *, drain_seconds: float) -> None:
        self.release.ask("stop_consuming", consumer_id=consumer_id, drain_seconds=drain_seconds)

    def job_started(self, gate: str) -> None:
        """Wait until a job of this release's consumers is held by the gate."""
        assert self.release.ask("job_started", gate=gate)

    def open_gate(self, gate: str) -> None:
        self.release.ask("open_gate", gate=gate)

    def command(self, *arguments: str, **variables: str) -> Any:
        """What `inference-engine … --json` prints."""
        code, output = self._ask("command", arguments=[*arguments, "--json"], variables=variables)
        assert code == 0, f"{arguments} ended with {code}: {output}"
        return json.loads(output)

    def deliver_webhooks(self, secret: str) -> None:
        self._ask("deliver_webhooks", secret=secret)

    def leave(self) -> None:
        self._ask("leave")

    @contextlib.contextmanager
    def gateway(self) -> Iterator[GatewayProcess]:
        """A gateway of this release that requires keys, ready."""
        port = free_port()
        given = {f"INFERENCE_ENGINE_{name.upper()}": str(value) for name, value in self.settings.items()}
        given |= {"INFERENCE_ENGINE_GATEWAY_PORT": str(port), "INFERENCE_ENGINE_GATEWAY_REQUIRE_KEYS": "true"}
        process = subprocess.Popen(
            [sys.executable, "-m", "inference_engine.cli", "gateway", "--log-level", "WARNING"],
            env=environment_with(self.release.source) | given,
            # Python looks for modules in the working directory first.
            cwd=self.release.source,
        )
        gateway = GatewayProcess(process, f"http://127.0.0.1:{port}")
        try:
            eventually(lambda: gateway.ready or process.poll() is not None, "the gateway is ready")
            assert process.poll() is None, "the gateway has ended"
            yield gateway
        finally:
            process.kill()
            process.wait(HANG_SECONDS)

    def _ask(self, what: str, **arguments: Any) -> Any:
        return self.release.ask(what, settings=self.settings, **arguments)
