"""Webhooks: from a change in the jobs table to a receiver that verifies it, whatever fails on the way."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest
from pydantic import SecretStr

from inference_engine import AsyncConsumer, AsyncProducer, Producer, Settings
from inference_engine.aws.schema import WEBHOOK_TRIES
from inference_engine.aws.streams import TableStream
from inference_engine.deployment import Deployment
from inference_engine.errors import (
    CallbackError,
    NotProvisionedError,
    PayloadTooLargeError,
    SettingsError,
    TransportError,
)
from inference_engine.jobs.attempt import Attempt
from inference_engine.jobs.job import Job, JobFailure, ResultStatus
from inference_engine.jobs.store import DEAD_LETTERED
from inference_engine.labels import webhook_dead_queue_name, webhook_queue_name
from inference_engine.local.stack import LocalStack
from inference_engine.local.webhooks import LocalWebhooks
from inference_engine.settings import WebhookSettings
from inference_engine.webhooks.breaker import SILENT_TRIES
from inference_engine.webhooks.delivery import Courier, DeliveryOutcome
from inference_engine.webhooks.outbox import Outbox
from inference_engine.webhooks.queue import WebhookMessage, WebhookQueue
from inference_engine.webhooks.rules import Delivery, JobData, new_secret
from inference_engine.webhooks.secret import Secret
from tests.support.project import PROJECT
from tests.support.webhooks import Receiver, after_failures, receiver
from tests.support.workers import environment_of

SECRET = new_secret()


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> WebhookSettings:
    """As the environment says, which producers read too."""
    monkeypatch.setenv("INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE", "true")
    monkeypatch.setenv("INFERENCE_ENGINE_WEBHOOKS_SECRET", SECRET)
    monkeypatch.setenv("INFERENCE_ENGINE_WEBHOOKS_TIMEOUT_SECONDS", "1")
    return WebhookSettings()


@pytest.fixture
def queue(deployment: Deployment) -> WebhookQueue:
    return WebhookQueue(deployment.transport, deployment.queues, deployment.settings.prefix)


@pytest.fixture
async def courier(deployment: Deployment, queue: WebhookQueue, webhooks: WebhookSettings) -> AsyncIterator[Courier]:
    """Tries again at once."""
    courier = Courier(queue, Secret(deployment.transport, webhooks), webhooks, backoff=lambda _: 0)
    yield courier
    courier.close()


def body(url: str, number: int = 1) -> str:
    data = JobData(message_id=f"id{number}", request_id="r", label="m", status=ResultStatus.SUCCESS)
    return Delivery.of(url, data, attempt=1, at=0).encode()


async def a_round(queue: WebhookQueue, courier: Courier) -> tuple[list[WebhookMessage], DeliveryOutcome]:
    """What one invocation of the function does."""
    messages = await queue.receive(5)
    outcome = await courier.deliver(messages)
    await queue.delete(outcome.done)
    return messages, outcome


def delivering_process(settings: Settings) -> subprocess.Popen[bytes]:
    """Receives a batch for two seconds, and is patient with its receivers."""
    patient = {"INFERENCE_ENGINE_WEBHOOKS_TIMEOUT_SECONDS": "20"}
    command = [sys.executable, "-m", "tests.support.webhooks"]
    return subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment_of(settings) | patient)


async def left(deployment: Deployment, name: str) -> int:
    return (await deployment.queues.backlog(await deployment.queues.named(name))).total


# --- from the stream to the queue ----------------------------------------------------------------------------------------


async def test_a_jobs_life_is_in_the_stream_and_each_change_is_enqueued(
    deployment: Deployment, queue: WebhookQueue
) -> None:
    stream = TableStream(deployment.transport, deployment.settings.jobs_table)
    await stream.open()
    job = Job(label="m", request_id="r", body="1", submitted_at=1.0, callback_url="https://example.com/")
    await deployment.jobs.submitted("id", job)
    await deployment.jobs.submitted("other", job.model_copy(update={"callback_url": None}))
    attempt = Attempt("id", job, 1, "c")
    await deployment.jobs.start(attempt, 3)
    await deployment.jobs.release(attempt)
    assert await deployment.jobs.cancel("id")
    assert await deployment.jobs.cancel("other")
    records = await stream.read()
    assert len(records) == 6
    assert await stream.read() == []
    assert await Outbox(queue).put(records) is None
    deliveries = [Delivery.decode(message.body) for message in await queue.receive(1)]
    assert {delivery.id for delivery in deliveries} == {"id-IN_PROGRESS-1", "id-SUBMITTED-1", "id-CANCELLED-1"}


async def test_what_a_lost_request_left_out_comes_again(deployment: Deployment, queue: WebhookQueue) -> None:
    stream = TableStream(deployment.transport, deployment.settings.jobs_table)
    await stream.open()
    for number in range(12):
        job = Job(label="m", request_id="r", submitted_at=1.0, callback_url="https://example.com/")
        await deployment.jobs.finish(Attempt(f"id{number}", job, 1, "c"), ResultStatus.SUCCESS, result="1")
    records = await stream.read()
    nowhere = WebhookQueue(deployment.transport, deployment.queues, "nobody")
    assert await Outbox(nowhere).put(records) == records[0]
    assert await Outbox(queue).put(records) is None
    assert await left(deployment, webhook_queue_name(deployment.settings.prefix)) == 12


# --- from the queue to the receiver --------------------------------------------------------------------------------------


async def test_a_delivery_is_signed_and_repeated_as_itself_until_it_is_taken(
    deployment: Deployment, queue: WebhookQueue, courier: Courier
) -> None:
    with receiver(after_failures(500, 302)) as there:
        await queue.send([body(there.url)])
        outcomes = [(await a_round(queue, courier))[1] for _ in range(3)]
        assert [len(outcome.failed) for outcome in outcomes] == [1, 1, 0]
        assert [len(outcome.delivered) for outcome in outcomes] == [0, 0, 1]
        requests = [there.next() for _ in range(3)]
        assert there.silent, "the redirect was followed"
    assert {request.id for request in requests} == {"id1-SUCCESS-1"}
    assert {request.path for request in requests} == {"/hook?job=1"}
    assert {request.headers["content-type"] for request in requests} == {"application/json"}
    assert [request.verified(SECRET)["type"] for request in requests] == ["job.succeeded"] * 3
    assert await left(deployment, webhook_queue_name(deployment.settings.prefix)) == 0


async def test_a_slow_receiver_holds_up_no_other_and_its_delivery_comes_again(
    deployment: Deployment, queue: WebhookQueue, courier: Courier
) -> None:
    go = threading.Event()

    def hang_once(_: object) -> int:
        if not go.is_set():
            go.wait(30)
        return 200

    with receiver(hang_once) as slow, receiver() as quick:
        await queue.send([body(slow.url, 1), *(body(quick.url, number) for number in range(2, 6))])
        messages, outcome = await a_round(queue, courier)
        assert len(messages) == 5
        assert len(outcome.delivered) == 4
        go.set()
        _, outcome = await a_round(queue, courier)
        assert len(outcome.delivered) == 1
        assert {slow.next().id for _ in range(2)} == {"id1-SUCCESS-1"}


async def test_a_receiver_that_hangs_is_put_off_and_its_tries_are_counted(
    deployment: Deployment, queue: WebhookQueue, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    def hang(_: object) -> int:
        go.wait(30)
        return 200

    with receiver(hang) as hung, receiver() as quick:
        await queue.send([body(hung.url, number) for number in range(SILENT_TRIES)])
        failed = 0
        while failed < SILENT_TRIES:
            messages = await queue.receive(5)
            outcome = await courier.deliver(messages)
            failed += len(outcome.failed)
            # Not to be tried again here.
            await queue.delete(messages)
        assert {hung.next().id for _ in range(SILENT_TRIES)} == {
            f"id{number}-SUCCESS-1" for number in range(SILENT_TRIES)
        }
        await queue.send([body(hung.url, 8), body(quick.url, 9)])
        outcomes: list[DeliveryOutcome] = []
        while sum(len(outcome.delivered + outcome.failed) for outcome in outcomes) < 3:
            outcomes.append((await a_round(queue, courier))[1])
        tries = [message.tries for outcome in outcomes for message in outcome.failed]
        go.set()
        assert (quick.next().id, hung.silent, tries) == ("id9-SUCCESS-1", True, [1, 2])
    assert "id8-SUCCESS-1 not delivered in try 2: PutOffError: 127.0.0.1" in caplog.text


async def test_gone_ends_a_delivery_and_nobody_home_does_not(
    deployment: Deployment, queue: WebhookQueue, courier: Courier
) -> None:
    with receiver(lambda _: 410) as gone:
        nobody = Receiver()
        nobody.stop()
        await queue.send([body(gone.url, 1), body(nobody.url, 2), "no delivery"])
        _, outcome = await a_round(queue, courier)
    assert (len(outcome.gone), len(outcome.failed)) == (1, 2)
    assert await left(deployment, webhook_queue_name(deployment.settings.prefix)) == 2


async def test_addresses_inside_are_refused_where_settings_do_not_allow_them(
    deployment: Deployment, queue: WebhookQueue
) -> None:
    settings = WebhookSettings(secret=SecretStr(SECRET))
    courier = Courier(queue, Secret(deployment.transport, settings), settings, backoff=lambda _: 0)
    with receiver() as there:
        secure = there.url.replace("http:", "https:")
        await queue.send([body(there.url, 1), body(secure, 2), body(secure.replace("127.0.0.1", "localhost"), 3)])
        _, outcome = await a_round(queue, courier)
        assert (len(outcome.failed), there.silent) == (3, True)


async def test_what_nobody_takes_lies_with_the_dead_at_last(
    deployment: Deployment, queue: WebhookQueue, courier: Courier
) -> None:
    with receiver(lambda _: 503) as there:
        await queue.send([body(there.url)])
        tries = 0
        while (await a_round(queue, courier))[0]:
            tries += 1
        assert tries == WEBHOOK_TRIES
    assert await left(deployment, webhook_dead_queue_name(deployment.settings.prefix)) == 1


async def test_a_backoff_hides_each_message_for_its_own_time(
    deployment: Deployment, queue: WebhookQueue, webhooks: WebhookSettings
) -> None:
    told: list[int] = []

    def backoff(tries: int) -> float:
        told.append(tries)
        return 0 if len(told) == 1 else 3600

    courier = Courier(queue, Secret(deployment.transport, webhooks), webhooks, backoff=backoff)
    await queue.send(["no delivery"])
    await a_round(queue, courier)
    await a_round(queue, courier)
    assert told == [1, 2]
    assert await queue.receive(0) == []
    assert await left(deployment, webhook_queue_name(deployment.settings.prefix)) == 1


async def test_a_backoff_that_sqs_refuses_is_told_and_the_others_are_set(
    deployment: Deployment, queue: WebhookQueue, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.send(["good", "lapsed"])
    good, lapsed = sorted(await queue.receive(5), key=lambda message: message.body)
    lapsed = dataclasses.replace(lapsed, receipt_handle="no handle")
    with pytest.raises(TransportError, match="refused to hide 1 of 2 messages"):
        await queue.hide({lapsed: 60, good: 0})
    assert [message.body for message in await queue.receive(5)] == ["good"]
    assert len((await courier.deliver([lapsed])).failed) == 1
    assert "refused to hide 1 of 1" in caplog.text


async def test_a_process_that_is_killed_over_a_batch_loses_nothing(
    deployment: Deployment, queue: WebhookQueue, courier: Courier
) -> None:
    go = threading.Event()

    def hold(_: object) -> int:
        go.wait(30)
        return 200

    with receiver(hold) as there:
        await queue.send([body(there.url, number) for number in range(3)])
        process = delivering_process(deployment.settings)
        try:
            first = [await asyncio.to_thread(there.next) for _ in range(3)]
        finally:
            process.kill()
            process.wait()
        go.set()
        again: list[WebhookMessage] = []
        while len(again) < 3:
            again += (await a_round(queue, courier))[0]
        assert {request.id for request in first} == {there.next().id for _ in range(3)}
    assert await left(deployment, webhook_queue_name(deployment.settings.prefix)) == 0


# --- the secret ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def parameter(aws_environment: str, settings: Settings) -> Iterator[str]:
    name = f"/inference-engine/{settings.prefix}/webhooks/secret"
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=name, Value=SECRET, Type="SecureString")
    yield name
    ssm.close()


async def test_the_secret_is_read_once_and_again_in_a_while(
    deployment: Deployment, parameter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret(deployment.transport, WebhookSettings(secret_parameter=parameter))
    (key,) = await secret.keys()
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=parameter, Value=f"{new_secret()} {SECRET}", Type="SecureString", Overwrite=True)
    assert await secret.keys() == [key]
    monkeypatch.setattr("inference_engine.webhooks.secret.KEEP_SECONDS", 0.0)
    secret._until = 0.0
    new, old = await secret.keys()
    assert (new != key, old) == (True, key)
    ssm.delete_parameter(Name=parameter)
    assert await secret.keys() == [new, old]
    ssm.close()


async def test_without_a_secret_nothing_is_sent_and_nothing_lost(deployment: Deployment, queue: WebhookQueue) -> None:
    for settings, error in (
        (WebhookSettings(allow_private=True), SettingsError),
        (WebhookSettings(allow_private=True, secret_parameter="/not/there"), NotProvisionedError),
    ):
        secret = Secret(deployment.transport, settings)
        with pytest.raises(error):
            await secret.keys()
        with receiver() as there:
            await queue.send([body(there.url)])
            messages, outcome = await a_round(queue, Courier(queue, secret, settings, backoff=lambda _: 3600))
            assert (len(messages), len(outcome.failed), there.silent) == (1, 1, True)


# --- all of it -----------------------------------------------------------------------------------------------------------


async def test_the_local_stack_delivers_what_becomes_of_jobs(
    deployment: Deployment, settings: Settings, webhooks: WebhookSettings
) -> None:
    local = LocalWebhooks(settings, webhooks)
    with receiver() as there:
        local.start()
        try:
            async with AsyncProducer(settings) as producer:
                ids = await producer.post_many([1, 2], "m", request_id="mine", callback_url=there.url)
                await producer.post_non_blocking(3, "m")
                assert await producer.cancel(ids[0])
                failure = JobFailure(type=DEAD_LETTERED, message="too often")
                assert await deployment.jobs.bury(ids[1], _job(there.url), failure)
                events = [(await asyncio.to_thread(there.next)).verified(SECRET) for _ in range(2)]
        finally:
            local.stop()
        assert there.silent
    found = {event["data"]["message_id"]: event for event in events}
    assert {event["type"] for event in events} == {"job.cancelled", "job.failed"}
    assert found[ids[1]]["data"]["error"]["type"] == DEAD_LETTERED
    assert {event["data"]["request_id"] for event in events} == {"mine"}


async def test_the_local_stack_goes_on_where_one_was_stopped(
    settings: Settings, webhooks: WebhookSettings, queue: WebhookQueue
) -> None:
    with receiver() as there:
        await queue.send([body(there.url)])
        local = LocalWebhooks(settings, webhooks)
        local.start()
        assert (await asyncio.to_thread(there.next)).id == "id1-SUCCESS-1"
        local.stop()
        local.stop()


@pytest.mark.integration
def test_a_started_stack_delivers_signed_with_the_secret_of_its_environment(tmp_path: Path) -> None:
    stack = LocalStack(repository=tmp_path, consumer_count=0, prefix="hooks", use_triton=False)
    with receiver() as there, stack, Producer() as producer:
        message_id = producer.post_non_blocking(1, "m", callback_url=there.url)
        assert producer.cancel(message_id)
        event = there.next().verified(stack.environment()["INFERENCE_ENGINE_WEBHOOKS_SECRET"])
    assert (event["type"], event["data"]["message_id"]) == ("job.cancelled", message_id)


def _job(url: str) -> Job:
    return Job(label="m", request_id="mine", submitted_at=1.0, callback_url=url)


# --- what producers say of a job -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "https://localhost/", "example.com"])
async def test_a_url_that_cannot_be_called_is_told_before_anything_is_sent(settings: Settings, url: str) -> None:
    async with AsyncProducer(settings) as producer:
        with pytest.raises(CallbackError):
            await producer.post_non_blocking(1, "m", callback_url=url)
        with pytest.raises(CallbackError):
            await producer.post_many([1], "m", callback_url=url)
    queues = boto3.client("sqs")
    assert f"{settings.prefix}-m.fifo" not in str(queues.list_queues(QueueNamePrefix=settings.prefix))
    queues.close()


async def test_bodies_are_kept_in_the_record_or_in_the_bucket(deployment: Deployment, settings: Settings) -> None:
    async with AsyncProducer(settings) as producer:
        small, large = await producer.post_many(["x" * 100, "x" * 40_000], "m", keep_body=True)
        other = await producer.post_non_blocking("x" * 100, "m")
    records = {message_id: await deployment.jobs.current(message_id) for message_id in (small, large, other)}
    assert {one: (record.body, bool(record.body_ref)) for one, record in records.items() if record} == {
        small: ('"' + "x" * 100 + '"', False),
        large: (None, True),
        other: (None, False),
    }
    kept = records[large]
    assert kept is not None
    assert await deployment.blobs.get(kept.body_ref or "") == '"' + "x" * 40_000 + '"'


async def test_a_body_that_cannot_be_kept_is_told(settings: Settings) -> None:
    without = settings.model_copy(update={"bucket": None})
    async with AsyncProducer(without) as producer:
        assert await producer.post_non_blocking("x" * 40_000, "m")
        with pytest.raises(PayloadTooLargeError, match=r"keep_body is limited to 32,768 bytes"):
            await producer.post_non_blocking("x" * 40_000, "m", keep_body=True)


async def test_a_kept_body_and_a_large_result_fit_one_record(settings: Settings) -> None:
    wide = settings.model_copy(update={"result_inline_max_bytes": 390_000})

    async def grow(body: str, message_id: str) -> str:
        return body * 12

    async with AsyncProducer(wide) as producer, AsyncConsumer(wide, compute_result=grow):
        message_id = await producer.post_non_blocking("x" * 32_000, "m", keep_body=True)
        response = await producer.wait(message_id)
    assert response.result == "x" * 384_000


async def test_what_a_job_carries_outlives_its_end_and_a_redrive(deployment: Deployment, settings: Settings) -> None:
    async with AsyncProducer(settings) as producer:
        message_id = await producer.post_non_blocking([1], "m", callback_url="https://example.com/", keep_body=True)
    message = (
        await deployment.queues.receive(await deployment.queues.of_label("m"), wait_seconds=5, visibility_seconds=30)
    )[0]
    job = Job.decode(message.body)
    assert await deployment.jobs.bury(message_id, job, JobFailure(type=DEAD_LETTERED, message="too often"))
    again = await deployment.jobs.redrive(message_id, job)
    assert again is not None
    attempt = Attempt.of("new", again, 1, "c")
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1")
    record = await deployment.jobs.current(message_id)
    assert record is not None
    assert (record.status, record.callback_url, record.body) == (ResultStatus.SUCCESS, "https://example.com/", "[1]")


def test_what_is_provisioned_is_what_the_function_needs(settings: Settings) -> None:
    queues, tables = boto3.client("sqs"), boto3.client("dynamodb")
    url = queues.get_queue_url(QueueName=webhook_queue_name(settings.prefix))["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert attributes["VisibilityTimeout"] == "720"
    assert (int(redrive["maxReceiveCount"]), redrive["deadLetterTargetArn"].rpartition(":")[2]) == (
        WEBHOOK_TRIES,
        webhook_dead_queue_name(settings.prefix),
    )
    stream = tables.describe_table(TableName=settings.jobs_table)["Table"]["StreamSpecification"]
    assert stream == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    queues.close()
    tables.close()
