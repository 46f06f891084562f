"""A deployment in which everything has happened, and what is then on the wire, read with the AWS SDK alone."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from inference_engine import Consumer, Producer, Settings
from inference_engine.aws.provision import provision_now
from inference_engine.backends.base import LoadedModel
from inference_engine.backends.function import FunctionBackend
from inference_engine.cli import main as command_line
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import ModelSignature, TensorSpec
from inference_engine.local.webhooks import LocalWebhooks
from inference_engine.settings import WebhookSettings
from lambdas.backlog_metrics.handler import BacklogMetrics, BacklogSettings
from tests.support.waiting import HANG_SECONDS, eventually
from tests.support.webhooks import Received, receiver
from tests.support.workers import environment_of

SECRET = "whsec_" + "c" * 32
#: Fits a message, but not an item of a dead letter; and what does not fit a message.
MIDDLE, LARGE = "x" * 50_000, "x" * 150_000
SECONDS = HANG_SECONDS
#: One queue for each.
LABELS = ("m", "dead", "slow", "broken")
DEDUP_KEY = "order 7"

Item = dict[str, Any]


@dataclass(slots=True)
class Written:
    """What was found: items by partition of the registry (`claim#` without its label), the others in the order of reading."""

    settings: Settings
    jobs: list[Item] = field(default_factory=list)
    registry: defaultdict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    messages: list[Item] = field(default_factory=list)
    load_requests: list[Item] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    deliveries: list[Received] = field(default_factory=list)
    overviews: list[Item] = field(default_factory=list)
    labels: list[Item] = field(default_factory=list)
    dead_letters: Item = field(default_factory=dict)
    backlog_log: Item = field(default_factory=dict)
    #: Status and body by path of the consumer's port.
    http: dict[str, tuple[int, str]] = field(default_factory=dict)

    def bodies(self) -> list[Item]:
        """The JSON of all job messages."""
        return [json.loads(message["Body"]) for message in self.messages]

    def rows(self, partition: str) -> list[Item]:
        """The JSON in the items of a partition."""
        return [json.loads(item["row"]["S"]) for item in self.registry[partition]]

    def look(self) -> None:
        """Read the tables as they are now."""
        with _client("dynamodb") as dynamodb:
            self.jobs += dynamodb.scan(TableName=self.settings.jobs_table)["Items"]
            for item in dynamodb.scan(TableName=self.settings.registry_table)["Items"]:
                self.registry[item["pk"]["S"].partition("#")[0]].append(item)


class Backend(FunctionBackend):
    """Computes what the body says; knows the inputs of its models, cannot load `broken`, and loads `slow` when it may."""

    def __init__(self) -> None:
        super().__init__(self.compute, load=self.bring)
        self.started, self.loading, self.go = threading.Event(), threading.Event(), threading.Event()

    def bring(self, label: str) -> int:
        if label == "broken":
            raise RuntimeError("there is no such model")
        if label == "slow":
            self.loading.set()
            self.go.wait(SECONDS)
        return 1000

    async def load(self, label: str) -> LoadedModel:
        loaded = await super().load(label)
        tensor = TensorSpec(name="X", datatype="FP32", shape=(-1, 4))
        signature = ModelSignature(label=label, platform="onnxruntime_onnx", inputs=(tensor,), outputs=(tensor,))
        return LoadedModel(label, loaded.size_bytes, signature)

    def compute(self, body: Any, message_id: str) -> Any:
        if isinstance(body, dict) and "hold" in body:
            self.started.set()
            self.go.wait(SECONDS)
        if isinstance(body, dict) and "raise" in body:
            raise RuntimeError("as told")
        return body


def new_settings(prefix: str) -> Settings:
    """Quick, and with little room for results."""
    return Settings(
        prefix=prefix,
        bucket=f"{prefix}-payloads",
        wait_time_seconds=1,
        placement_interval_seconds=0.2,
        placement_idle_seconds=0.5,
        host_cache_seconds=0.5,
        timeout_seconds=SECONDS,
        max_receive_count=5,
        max_attempts=1,
        max_load_tries=1,
        body_inline_max_bytes=100_000,
        result_inline_max_bytes=4096,
    )


def play(prefix: str) -> Written:
    """Make everything happen in a new deployment. It takes a few seconds."""
    settings = new_settings(prefix)
    provision_now(settings)
    written = Written(settings)
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(receiver())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment_of(settings).items():
            patch.setenv(name, value)
        patch.setenv("INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE", "true")
        patch.setenv("INFERENCE_ENGINE_WEBHOOKS_SECRET", SECRET)
        webhooks = LocalWebhooks(settings, WebhookSettings())
        webhooks.start()
        stack.callback(webhooks.stop)
        producer = stack.enter_context(Producer(settings))
        _operate()
        _post(written, producer, there.url)
        _bury(written, producer)
        _compute(written, producer, there.url)
        while not {"job.succeeded", "job.failed"} <= {delivery.event["type"] for delivery in written.deliveries}:
            written.deliveries.append(there.next())
    _list(written)
    return written


def _operate() -> None:
    """Settings of labels, and keys, with and without what may be left out."""
    _command("labels", "set", "m", "--lanes", "1")
    _command("labels", "set", "other", "--lanes", "3", "--max-in-flight", "2")
    _command("keys", "create", "all")
    _command("keys", "create", "some", "--labels", "m,n-*", "--rate", "2", "--expires-in", "1")


def _post(written: Written, producer: Producer, url: str) -> None:
    """Jobs of all kinds that nobody takes yet."""
    producer.post_non_blocking(
        {"hold": 1}, "m", callback_url=url, deadline=time.time() + 3600, dedup_key=DEDUP_KEY, keep_body=True
    )
    producer.post_non_blocking(LARGE, "m", keep_body=True)
    producer.post_non_blocking({"raise": 1}, "m", callback_url=url)
    assert not producer.post({}, "m", timeout_seconds=0.05).ok
    cancelled = producer.post_non_blocking({}, "m")
    assert producer.cancel(cancelled)
    written.messages += _received(written.settings, "m")
    written.load_requests += _received(written.settings, "placement")
    written.look()


def _bury(written: Written, producer: Producer) -> None:
    """Dead letters, small and large and of no job, and their redrive."""
    producer.post_non_blocking({}, "dead")
    producer.post_non_blocking(MIDDLE, "dead")
    with _client("sqs") as sqs:
        sqs.send_message(
            QueueUrl=_url(sqs, written.settings, "dead"),
            MessageBody="no job",
            MessageGroupId="dead",
            MessageDeduplicationId="no job",
        )
    while _received(written.settings, "dead"):
        pass
    _command("dlq", "collect")
    written.look()
    written.dead_letters = json.loads(_command("dlq", "list", "--json"))
    # The exit code says that one of them is no job.
    assert command_line(["dlq", "redrive", "--all"]) == 1
    written.messages += _received(written.settings, "dead")
    written.load_requests += _received(written.settings, "placement")


def _compute(written: Written, producer: Producer, url: str) -> None:
    """A consumer that has a job in flight, loads one label and fails to load another; then the end of all jobs."""
    backend = Backend()
    with Consumer(written.settings, backend=backend, consumer_id="c", max_labels=4, http_port=0) as consumer:
        assert backend.started.wait(SECONDS)
        assert not producer.post({}, "broken").ok
        others = [producer.post_non_blocking({}, "slow"), producer.post_non_blocking(LARGE, "m")]
        assert backend.loading.wait(SECONDS)
        eventually(lambda: _loading(written.settings) == ["slow"], "the consumer says that it loads a label")
        written.overviews.append(json.loads(_command("top", "--once", "--json")))
        written.labels = json.loads(_command("labels", "list", "--json"))
        written.backlog_log = asyncio.run(_backlog_function(written.settings))
        written.look()
        backend.go.set()
        assert all(producer.wait(message_id).ok for message_id in others)
        written.look()
        for path in ("/healthz", "/readyz", "/busy", "/stats", "/metrics", "/nothing"):
            written.http[path] = _get(f"http://127.0.0.1:{consumer.http_port}{path}")


def _loading(settings: Settings) -> list[str]:
    with _client("dynamodb") as dynamodb:
        key = {"pk": {"S": "cell#0"}, "sk": {"S": "c"}}
        item = dynamodb.get_item(TableName=settings.registry_table, Key=key)["Item"]
    loading: list[str] = json.loads(item["row"]["S"])["loading"]
    return loading


async def _backlog_function(settings: Settings) -> Item:
    """What a run of the backlog function logs; it searches one queue of many."""
    deployment = Deployment.for_function(settings)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        await BacklogMetrics(deployment, BacklogSettings(sweep_queues=1)).run()
    await deployment.close()
    found: Item = json.loads(output.getvalue())
    return found


def _list(written: Written) -> None:
    """The names of what the deployment is made of."""
    settings = written.settings
    with _client("sqs") as sqs:
        urls = sqs.list_queues(QueueNamePrefix=settings.prefix)["QueueUrls"]
        written.queues += [url.rpartition("/")[2] for url in urls]
    with _client("dynamodb") as dynamodb:
        written.tables += [name for name in dynamodb.list_tables()["TableNames"] if name.startswith(settings.prefix)]
    with _client("s3") as s3:
        written.objects += [item["Key"] for item in s3.list_objects_v2(Bucket=settings.bucket)["Contents"]]


def _command(*arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert command_line(arguments) == 0
    return output.getvalue()


def _received(settings: Settings, label: str) -> list[Item]:
    """The messages of a queue, which stay on it."""
    with _client("sqs") as sqs:
        found: list[Item] = sqs.receive_message(
            QueueUrl=_url(sqs, settings, label),
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"],
        ).get("Messages", [])
    return found


def _url(sqs: Any, settings: Settings, label: str) -> str:
    return str(sqs.get_queue_url(QueueName=f"{settings.prefix}-{label}.fifo")["QueueUrl"])


@contextlib.contextmanager
def _client(service: str) -> Iterator[Any]:
    client = boto3.client(service)
    try:
        yield client
    finally:
        client.close()


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
