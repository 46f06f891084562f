"""The whole system on one machine: AWS emulator, queues and tables, consumer processes, and a Triton beside each."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ..aws.provision import provision_now
from ..settings import Settings, WebhookSettings
from ..webhooks.rules import new_secret
from . import log_files
from .emulator import Emulator, http_ok
from .environments import Progress, silent
from .processes import ChildProcess, check_ports, free_ports
from .triton import TritonServer, available
from .webhooks import LocalWebhooks

#: A consumer imports its libraries and connects in a second; a busy machine may need much longer.
CONSUMER_READY_SECONDS = 60.0
#: A stopping consumer finishes its jobs first.
CONSUMER_STOP_SECONDS = 20.0
#: A stopping gateway answers the requests in flight first.
GATEWAY_STOP_SECONDS = 10.0
#: A stopping consumer waits for its last polls to return: with short polls ctrl-C ends the stack soon.
CONSUMER_POLL_SECONDS = 2
LOCAL_PREFIX = "local"
LOCAL_BUCKET = "local-payloads"


@dataclass(slots=True)
class LocalConsumer:
    """One consumer process and its own Triton server (None where the consumer runs the models itself)."""

    name: str
    http_port: int
    process: ChildProcess
    triton: TritonServer | None = None

    @property
    def http_url(self) -> str:
        """The base URL of its health, metrics and statistics."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ready(self) -> bool:
        """Whether it takes jobs now."""
        return http_ok(f"{self.http_url}/readyz")

    @property
    def state(self) -> str:
        """`ready`, `starting`, `Triton is gone` or `ended`."""
        if not self.process.running:
            return "ended"
        if self.triton is not None and not self.triton.running:
            return "Triton is gone"
        return "ready" if self.ready else "starting"

    def stats(self) -> dict[str, Any]:
        """Its numbers per label (see GET /stats); no labels where it does not answer."""
        # Loopback must not go through an application's proxy.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.http_url}/stats", timeout=5) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except (urllib.error.URLError, OSError, ValueError):
            return {"consumer_id": self.name, "labels": {}}


@dataclass(slots=True)
class LocalStack:
    """Emulator, provisioning, Triton servers and `consumer_count` consumers of `max_labels` slots over one model repository.

    `repository` is a Triton model repository with a folder per label. `endpoint_url` names an AWS emulator that already
    runs, instead of one that the stack starts. With `use_triton` False, and on any machine where Triton's wheel cannot run,
    the consumers run the models by ONNX Runtime. With `gateway_port` the HTTP gateway listens there. `progress` is called
    with each step.

    Between `start` and `stop` this process's own environment variables point at the stack, so that a `Producer()` made
    here posts to it. Callbacks may go to private addresses. They are signed with INFERENCE_ENGINE_WEBHOOKS_SECRET, else with a
    new secret of each stack. Everything ends with this process, whatever ends it.

        with LocalStack(repository=Path("models")), Producer() as producer:
            producer.post({"X": [[1, 2, 3, 4]]}, label="tiny")
    """

    repository: Path
    consumer_count: int = 2
    max_labels: int = 2
    endpoint_url: str | None = None
    prefix: str = LOCAL_PREFIX
    use_triton: bool = True
    gateway_port: int | None = None
    progress: Progress = silent
    consumers: list[LocalConsumer] = field(init=False, default_factory=list)
    _emulator: Emulator = field(init=False)
    _gateway: ChildProcess | None = field(init=False, default=None)
    _secret: str = field(init=False, default="", repr=False)
    _cleanup: ExitStack = field(init=False, default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.repository = self.repository.absolute()
        self._emulator = Emulator(progress=self.progress)
        self._secret = os.environ.get("INFERENCE_ENGINE_WEBHOOKS_SECRET") or new_secret()

    @property
    def backend(self) -> str:
        """`triton` or `onnxruntime`: what runs the models."""
        return "triton" if self.use_triton and available() else "onnxruntime"

    def environment(self) -> dict[str, str]:
        """The variables with which producers, consumers and the AWS CLI use this stack."""
        aws = self._emulator.environment()
        if self.endpoint_url:
            # The caller's own keys and region, since that emulator may require particular ones.
            aws |= {key: os.environ[key] for key in aws if key in os.environ} | {"AWS_ENDPOINT_URL": self.endpoint_url}
        return aws | {
            "INFERENCE_ENGINE_PREFIX": self.prefix,
            "INFERENCE_ENGINE_BUCKET": LOCAL_BUCKET,
            "INFERENCE_ENGINE_WAIT_TIME_SECONDS": str(CONSUMER_POLL_SECONDS),
            "INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE": "true",
            "INFERENCE_ENGINE_WEBHOOKS_SECRET": self._secret,
        }

    def start(self) -> None:
        """Start everything and return when all consumers take jobs. Raises LocalStackError; then nothing is left running."""
        log_files.remove_old()
        try:
            variables = self.environment()
            if self.gateway_port is not None:
                check_ports(self.gateway_port)
            if not self.endpoint_url:
                self.progress("starting the AWS emulator")
                self._cleanup.callback(self._emulator.stop)
                self._emulator.start()
            self._cleanup.enter_context(_Environment(variables))
            self.progress("creating queues, tables and a bucket")
            provision_now(Settings())
            webhooks = LocalWebhooks(Settings(), WebhookSettings())
            self._cleanup.callback(webhooks.stop)
            webhooks.start()
            self._start_consumers()
            self._start_gateway()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the gateway and the consumers (they finish their jobs), then Triton, webhooks and the emulator.

        No error where nothing runs.
        """
        consumers, self.consumers = self.consumers, []
        if consumers:
            self.progress("stopping")
        if self._gateway is not None:
            self._gateway.stop(GATEWAY_STOP_SECONDS)
        _at_once(lambda consumer: consumer.process.stop(CONSUMER_STOP_SECONDS), consumers)
        _at_once(lambda server: server.stop(), [consumer.triton for consumer in consumers if consumer.triton])
        self._cleanup.close()

    def stats(self) -> list[dict[str, Any]]:
        """Every consumer's statistics, in order."""
        return [consumer.stats() for consumer in self.consumers]

    def __enter__(self) -> LocalStack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_consumers(self) -> None:
        if not self.consumer_count:
            return
        for number, port in enumerate(free_ports(self.consumer_count), 1):
            self.consumers.append(self._consumer(f"consumer-{number}", port))
        if self.backend == "triton":
            # One after another: the first use builds an environment, for which the others would only wait.
            for consumer in self.consumers:
                self.progress(f"starting Triton for {consumer.name}")
                assert consumer.triton is not None
                consumer.triton.start()
        self.progress(f"starting {self.consumer_count} consumers, {self.max_labels} labels each")
        for consumer in self.consumers:
            consumer.process.start()
        for consumer in self.consumers:
            _wait_until_ready(consumer)

    def _start_gateway(self) -> None:
        if self.gateway_port is None:
            return
        self.progress(f"starting the gateway on port {self.gateway_port}")
        self._gateway = self._child("gateway", self.gateway_port, "gateway", "--port", str(self.gateway_port))
        self._gateway.environment |= {"INFERENCE_ENGINE_GATEWAY_SHUTDOWN_DELAY": str(GATEWAY_STOP_SECONDS / 2)}
        # The port is the same each time, and so is the file: today's errors must not be mixed with those of yesterday.
        self._gateway.log_file.unlink(missing_ok=True)
        self._gateway.start()
        ready_url = f"http://127.0.0.1:{self.gateway_port}/v2/health/ready"
        self._gateway.wait_until_ready(lambda: http_ok(ready_url), timeout_seconds=CONSUMER_READY_SECONDS)

    def _consumer(self, name: str, port: int) -> LocalConsumer:
        triton = TritonServer(self.repository, progress=self.progress) if self.backend == "triton" else None
        computes = ["--triton", triton.grpc_url] if triton else ["--onnx", str(self.repository)]
        options = ("--max-labels", str(self.max_labels), "--http-port", str(port), "--consumer-id", name)
        return LocalConsumer(name, port, self._child(name, port, "consume", *computes, *options), triton)

    def _child(self, name: str, port: int, *command: str) -> ChildProcess:
        """A process that runs one of this library's commands, listens on a port and uses this stack."""
        return ChildProcess(
            [sys.executable, "-m", "inference_engine.cli", *command, "--log-format", "json"],
            log_file=log_files.log_file(name, port),
            environment=_without_aws(os.environ) | self.environment(),
        )


class _Environment:
    """Points this process's environment variables at the stack, and restores them at the end."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        for name in self._before.keys() - _without_aws(self._before).keys():
            del os.environ[name]
        os.environ.update(self._variables)

    def __exit__(self, *_error: object) -> None:
        changed = {name for name in self._before if name.startswith("AWS_")} | self._variables.keys()
        for name in changed:
            os.environ.pop(name, None)
            if name in self._before:
                os.environ[name] = self._before[name]


def _without_aws(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those of AWS: a profile, a session token or a service endpoint would lead to the real AWS."""
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}


def _wait_until_ready(consumer: LocalConsumer) -> None:
    consumer.process.wait_until_ready(lambda: consumer.ready, timeout_seconds=CONSUMER_READY_SECONDS)


def _at_once(stop: Callable[[Any], None], things: Iterable[Any]) -> None:
    """Stop several things at the same time, since each may take seconds."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, things))
