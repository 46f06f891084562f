"""A release of the library that does what a test asks: `python release_process.py SOCKET`, with the release on PYTHONPATH.

Every release runs this same file, so it uses what all of them have: the names that `inference_engine` exports, and the
command line. The little else is imported where it is used. What is sent back is of Python's own types and numpy's, because
the asking process has the classes of another release. The process ends when its standard input is closed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener
from typing import Any

from botocore import loaders

import inference_engine
from inference_engine import Consumer, Producer, Response, Settings
from inference_engine.cli import main as command_line

#: A gate that a failed test never opens must not keep a consumer's thread.
#: As long as tests wait for anything (tests.support.waiting); this process imports an earlier release, and no tests.
GATE_SECONDS = 240.0

Given = Mapping[str, Any]


@dataclass(slots=True)
class Gate:
    """Holds a job: tests wait until it has `started`, and let it go on with `opened`."""

    started: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


class Release:
    """What tests ask for. `settings` are arguments of `Settings`; results are plain values."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._producers: dict[str, Producer] = {}
        self._consumers: dict[str, Consumer] = {}
        self._webhooks: dict[str, Any] = {}
        self._gates: defaultdict[str, Gate] = defaultdict(Gate)

    def location(self) -> str:
        """The folder that the library was imported from."""
        return str(os.path.dirname(inference_engine.__file__))

    def provision(self, settings: Given) -> None:
        """Make the queues and tables of a deployment."""
        from inference_engine.aws.provision import provision_now

        provision_now(Settings(**settings))

    def post(self, settings: Given, body: Any, label: str, options: Given) -> str:
        """Post without waiting; the message id."""
        return self._producer(settings).post_non_blocking(body, label, **options)

    def post_and_wait(self, settings: Given, body: Any, label: str, options: Given) -> dict[str, Any]:
        """A blocking post."""
        return _plain(self._producer(settings).post(body, label, **options))

    def wait(self, settings: Given, message_id: str) -> dict[str, Any]:
        """Wait for a job, whoever posted it."""
        return _plain(self._producer(settings).wait(message_id))

    def status(self, settings: Given, message_id: str) -> str:
        """The state of a job now."""
        return self._producer(settings).retrieve_result_status(message_id).value

    def cancel(self, settings: Given, message_id: str) -> bool:
        """Cancel a job."""
        return self._producer(settings).cancel(message_id)

    def consume(self, settings: Given, consumer_id: str, max_labels: int) -> None:
        """Start a consumer of its own threads; it has joined the fleet when this returns."""

        def compute(body: dict[str, Any], message_id: str, label: str) -> dict[str, Any]:
            if "gate" in body:
                gate = self._gates[body["gate"]]
                gate.started.set()
                gate.opened.wait(GATE_SECONDS)
            return {"consumer": consumer_id, "message_id": message_id, "label": label, "value": body.get("value")}

        consumer = Consumer(
            Settings(**settings), compute_result=compute, consumer_id=consumer_id, max_labels=max_labels
        )
        consumer.start_consuming()
        self._consumers[consumer_id] = consumer

    def stop_consuming(self, consumer_id: str, drain_seconds: float) -> None:
        """Stop a consumer as a deployment does it."""
        self._consumers.pop(consumer_id).stop_consuming(drain_seconds)

    def job_started(self, gate: str) -> bool:
        """Wait until a job is held by this gate."""
        return self._gates[gate].started.wait(GATE_SECONDS)

    def open_gate(self, gate: str) -> None:
        """Let the jobs go on that this gate holds or will hold."""
        self._gates[gate].opened.set()

    def command(self, settings: Given, arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and output of `inference-engine …`."""
        named = {f"INFERENCE_ENGINE_{name.upper()}": str(value) for name, value in settings.items()}
        with self._lock, contextlib.redirect_stdout(io.StringIO()) as output:
            before = dict(os.environ)
            os.environ.update(named | dict(variables))
            try:
                return command_line(arguments), output.getvalue()
            finally:
                os.environ.clear()
                os.environ.update(before)

    def deliver_webhooks(self, settings: Given, secret: str) -> None:
        """Start what delivers the status changes of a deployment's jobs."""
        from inference_engine.local.webhooks import LocalWebhooks
        from inference_engine.settings import WebhookSettings

        given: dict[str, Any] = {"secret": secret, "allow_private": True}
        worker = LocalWebhooks(Settings(**settings), WebhookSettings(**given))
        worker.start()
        self._webhooks[settings["prefix"]] = worker

    def verify_webhook(self, headers: Mapping[str, str], payload: bytes, secret: str) -> None:
        """Verify a delivery as a receiver does, or raise."""
        try:
            from inference_engine.webhooks import verify
        except ImportError:  # 0.1.0
            from inference_engine.callbacks import verify

        verify(headers, payload, secret)

    def leave(self, settings: Given) -> None:
        """Begin to let go of a deployment: consumers stop after their last poll, and nobody needs to wait for that."""
        threading.Thread(target=self._leave, args=(settings["prefix"],), daemon=True).start()

    def _leave(self, prefix: str) -> None:
        """Close the producer of a deployment, and stop its consumers, all of whose ids begin with its prefix."""
        if worker := self._webhooks.pop(prefix, None):
            worker.stop()
        for consumer_id in [name for name in self._consumers if name.startswith(prefix)]:
            self.stop_consuming(consumer_id, 0)
        with self._lock:
            producer = self._producers.pop(prefix, None)
        if producer is not None:
            producer.close()

    def _producer(self, settings: Given) -> Producer:
        with self._lock:
            prefix = settings["prefix"]
            if prefix not in self._producers:
                self._producers[prefix] = Producer(Settings(**settings))
            return self._producers[prefix]


def _plain(response: Response) -> dict[str, Any]:
    return {
        "message_id": response.message_id,
        "request_id": response.request_id,
        "label": response.label,
        "status": response.status.value,
        "status_code": response.status_code,
        "result": response.result,
        "error": None if response.error is None else str(response.error),
    }


def _answer(release: Release, connection: Connection[Any, Any]) -> None:
    with connection:
        name, arguments = connection.recv()
        try:
            connection.send((True, getattr(release, name)(**arguments)))
        except BaseException:
            connection.send((False, traceback.format_exc()))


def _listen(address: str) -> None:
    release = Release()
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        print("listening", flush=True)
        while True:
            threading.Thread(target=_answer, args=(release, listener.accept()), daemon=True).start()


def _read_once() -> None:
    """What the SDKs know of AWS they read from large files, for each session anew; here dozens of sessions are made."""
    read = functools.cache(loaders.JSONFileLoader().load_file)
    loaders.JSONFileLoader.load_file = lambda _, path: read(path)


if __name__ == "__main__":
    _read_once()
    threading.Thread(target=_listen, args=(sys.argv[1],), daemon=True).start()
    sys.stdin.read()
    os._exit(0)
