"""What each role does in a day, on the applied stack, with every call to AWS written down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from inference_engine import AsyncConsumer, AsyncProducer, ResultStatus, Settings
from inference_engine.aws.objects import BucketObjects
from inference_engine.aws.parameters import read_parameters
from inference_engine.aws.queues import OutgoingMessage
from inference_engine.aws.transport import Service, ThreadTransport, Transport
from inference_engine.backends.function import FunctionBackend
from inference_engine.cli import main
from inference_engine.dead_letters.store import DeadMessage
from inference_engine.deployment import Deployment
from inference_engine.jobs.job import Job
from inference_engine.labels import message_group
from lambdas.backlog_metrics.handler import BacklogMetrics, BacklogSettings
from tests.support.aws_stack import AppliedStack
from tests.support.waiting import HANG_SECONDS

from .gateway_traffic import deliver, make_secret, serve_callers

#: Payloads over this go to S3 here.
INLINE_BYTES = 2_000
#: A body that makes a dead letter's text too large for a row.
LARGE_JSON = json.dumps("x" * 100_000)
MODEL_KEY = "traffic/model.onnx"
#: Settings with which all of it takes seconds.
QUICK = {
    "wait_time_seconds": 1,
    "poll_max_seconds": 0.2,
    "host_cache_seconds": 1.0,
    "placement_interval_seconds": 0.5,
    "placement_idle_seconds": 1.0,
    "turn_min_seconds": 0.5,
    "retry_backoff_seconds": 0.1,
    "max_attempts": 2,
    "max_load_tries": 1,
    "drain_seconds": 0.5,
    "body_inline_max_bytes": INLINE_BYTES,
    "result_inline_max_bytes": INLINE_BYTES,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call to AWS."""

    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass(slots=True)
class Recorder:
    """A transport that writes down what is called, and lets it through."""

    calls: list[Call]
    _transport: Transport = field(default_factory=ThreadTransport)

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        self.calls.append(Call(service, operation, parameters))
        return await self._transport.call(service, operation, **parameters)

    async def close(self) -> None:
        await self._transport.close()


Calls = defaultdict[str, list[Call]]


def record(stack: AppliedStack) -> dict[str, list[Call]]:
    """The calls of each role: producer, gateway, consumer, backlog-metrics, dead-letters, webhooks, operator.

    The process's environment must lead to the stack. Queues of labels that this makes are deleted again.
    """
    calls: Calls = defaultdict(list)
    settings = stack.settings.model_copy(update=QUICK)
    try:
        with _messages_stay(stack):
            asyncio.run(_record(stack, settings, calls))
            key = asyncio.run(_key(settings))
            _operate(stack, calls["operator"])
            make_secret(stack.environment, partial(Recorder, calls["operator"]))
            serve_callers(stack, settings, key, partial(Recorder, calls["gateway"]))
            asyncio.run(deliver(stack, settings, partial(Recorder, calls["webhooks"])))
    finally:
        stack.delete_queues_of_posts()
    return calls


async def _record(stack: AppliedStack, settings: Settings, calls: Calls) -> None:
    await read_parameters(Recorder(calls["producer"]), stack.environment)
    async with AsyncProducer(settings, timeout_seconds=HANG_SECONDS, connect=_over(calls["producer"])) as producer:
        cancelled = await producer.post_non_blocking({"n": 0}, "cancelled")
        assert await producer.cancel(cancelled)
        forgotten = await _find_forgotten_jobs(stack, settings, calls["backlog-metrics"])
        await _serve(producer, settings, calls["consumer"], ["cancelled", *forgotten])
    await _measure(stack, calls["backlog-metrics"])
    await _fetch_model(stack, calls["consumer"])
    await _bury(settings, calls["dead-letters"])


def _over(calls: list[Call]) -> Any:
    """What producers and consumers take as `connect`."""
    return lambda settings: Deployment.over(settings, Recorder(calls))


@contextlib.asynccontextmanager
async def _deployment(settings: Settings, calls: list[Call]) -> AsyncIterator[Deployment]:
    deployment = Deployment.over(settings, Recorder(calls))
    yield deployment
    await deployment.close()


async def _serve(producer: AsyncProducer, settings: Settings, calls: list[Call], waiting: list[str]) -> None:
    """Jobs that go well, large ones, ones that fail, a model that cannot be loaded, labels that wait, and a drain."""
    held, started = asyncio.Event(), asyncio.Event()

    async def compute(body: Any, message_id: str) -> Any:
        if body == "fail":
            raise ValueError("as told")
        if body == "hold":
            started.set()
            await held.wait()
        return body

    def load(label: str) -> None:
        if label == "broken":
            raise OSError("no such model")

    backend = FunctionBackend(compute, load=load)
    large = "x" * (2 * INLINE_BYTES)
    async with AsyncConsumer(settings, backend=backend, max_labels=1, connect=_over(calls)):
        answers = await asyncio.gather(
            producer.post({"n": 1}, "first"),
            producer.post(large, "second"),
            producer.post("fail", "second"),
            producer.post({"n": 1}, "broken"),
        )
        assert [answer.status for answer in answers] == [ResultStatus.SUCCESS] * 2 + [ResultStatus.ERROR] * 2
        assert answers[1].result == large
        many = await producer.post_many([{"n": n} for n in range(12)], "first")
        ended = [response async for response in producer.as_completed(many, timeout_seconds=HANG_SECONDS)]
        assert {response.status for response in ended} == {ResultStatus.SUCCESS}
        await _request_a_label_without_a_queue(settings, calls)
        await _all_served(settings, waiting)
        await producer.post_non_blocking("hold", "first")
        await asyncio.wait_for(started.wait(), HANG_SECONDS)
    held.set()


async def _request_a_label_without_a_queue(settings: Settings, calls: list[Call]) -> None:
    """The consumer that takes the load request makes the queue."""
    async with _deployment(settings, []) as deployment:
        await deployment.load_requests.send("unposted")
    async with asyncio.timeout(HANG_SECONDS):
        while not any(call.operation == "create_queue" for call in calls):  # noqa: ASYNC110 - the recorder has no event
            await asyncio.sleep(0.05)


async def _all_served(settings: Settings, labels: list[str]) -> None:
    """The labels' queues are empty: whatever a consumer has to do with their jobs, it has done."""
    async with _deployment(settings, []) as deployment, asyncio.timeout(HANG_SECONDS):
        for label in labels:
            url = await deployment.queues.of_label(label)
            while (await deployment.queues.backlog(url)).total:  # noqa: ASYNC110 - a queue has no event
                await asyncio.sleep(0.05)


async def _forgotten_job(settings: Settings) -> str:
    """A job without a load request, for a label that its queue's name does not tell."""
    label = f"models/{uuid.uuid4().hex}"
    async with _deployment(settings, []) as deployment:
        url = await deployment.queues.of_label(label)
        job = Job(label=label, request_id="r", body="1", submitted_at=time.time())
        await deployment.queues.send(url, OutgoingMessage(job.encode(), message_group(label, "", 1), uuid.uuid4().hex))
    return label


async def _find_forgotten_jobs(stack: AppliedStack, settings: Settings, calls: list[Call]) -> list[str]:
    """Labels of forgotten jobs, of which these runs found one at least: the deployed function, searching too, may find others."""
    labels: list[str] = []
    while not {"receive_message", "send_message_batch"} <= {call.operation for call in calls}:
        labels.append(await _forgotten_job(settings))
        await _measure(stack, calls)
    return labels


async def _measure(stack: AppliedStack, calls: list[Call]) -> None:
    """Run the function until its search through all queues, two at a time, has come around."""
    settings = BacklogSettings(
        ecs_cluster=stack.outputs["cluster_name"], ecs_service=",".join(stack.outputs["service_names"].values())
    )
    async with _deployment(stack.settings, calls) as deployment:
        before = len(calls)
        function = BacklogMetrics(deployment, settings.model_copy(update={"sweep_queues": 2}))
        async with asyncio.timeout(HANG_SECONDS):
            while not any(call.operation == "delete_item" for call in calls[before:]):
                await function.run()


async def _fetch_model(stack: AppliedStack, calls: list[Call]) -> None:
    bucket = stack.outputs["buckets"]["models"]
    stack.emulators.client("s3").put_object(Bucket=bucket, Key=MODEL_KEY, Body=b"model")
    recorder = Recorder(calls)
    objects = BucketObjects(recorder, bucket)
    (model,) = await objects.list("traffic/")
    await objects.download(model.key, stack.terraform.folder / "model.onnx")
    await recorder.close()


async def _bury(settings: Settings, calls: list[Call]) -> None:
    """Dead letters of jobs with a record and without, small and large; they stay for the operator."""
    async with _deployment(settings, []) as deployment:
        recorded = Job(label="first", request_id="r", body="1", submitted_at=time.time())
        message_id = str(uuid.uuid4())
        await deployment.jobs.submitted(message_id, recorded)
    large = recorded.model_copy(update={"body": LARGE_JSON})
    async with _deployment(settings, calls) as deployment:
        buried = await deployment.dead_letters.bury([_dead(message_id, recorded), _dead(str(uuid.uuid4()), large)])
        assert len(buried.dead_letters) == 2, buried


def _dead(message_id: str, job: Job) -> DeadMessage:
    return DeadMessage(message_id, job.encode(), job.label, message_id, None, "handle")


async def _key(settings: Settings) -> str:
    """An API key of the gateway that may do everything."""
    async with _deployment(settings, []) as deployment:
        key, _ = await deployment.api_keys.create("caller", operator=True)
    return key


def _operate(stack: AppliedStack, calls: list[Call]) -> None:
    """The commands of an operator, as they are run."""
    with pytest.MonkeyPatch.context() as patch:
        for connect in ("for_command", "for_producer"):
            patch.setattr(Deployment, connect, staticmethod(partial(_recorded, calls)))
        asyncio.run(read_parameters(Recorder(calls), stack.environment))
        environment = ["--environment", stack.environment]
        for command in (
            ["labels", "create", "third"],
            ["labels", "set", "third", "--lanes", "2"],
            ["labels", "list", "--json"],
            ["consumers", "--json"],
            ["keys", "create", "another"],
            ["keys", "list", "--json"],
            ["dlq", "list", "--json"],
            ["dlq", "redrive", "--all"],
        ):
            assert main([*command, *environment]) == 0, command
        # Of a key that is none.
        assert main(["keys", "revoke", "2222222222", *environment]) == 1
        asyncio.run(_dead_letter_waits(stack.settings))
        assert main(["dlq", "collect", *environment]) == 0
        assert main(["dlq", "purge", "--all", "--yes", *environment]) == 0


def _recorded(calls: list[Call], settings: Settings, *, threads: bool = False) -> Deployment:
    return Deployment.over(settings, Recorder(calls))


async def _dead_letter_waits(settings: Settings) -> None:
    async with _deployment(settings, []) as deployment:
        url = await deployment.queues.named(f"{settings.prefix}-dead-letters.fifo")
        job = Job(label="first", request_id="r", body=LARGE_JSON, submitted_at=time.time())
        await deployment.queues.send(url, OutgoingMessage(job.encode(), "first", str(uuid.uuid4())))


@contextlib.contextmanager
def _messages_stay(stack: AppliedStack) -> Iterator[None]:
    """Meanwhile no function takes what comes to the dead-letter queue, to the jobs table's stream and to the webhooks' queue."""
    client = stack.emulators.client("lambda")
    functions = (stack.outputs["functions"][name] for name in ("dead_letters", "webhooks"))
    mappings = [
        mapping
        for function in functions
        for mapping in client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    ]
    for mapping in mappings:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        for mapping in mappings:
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
