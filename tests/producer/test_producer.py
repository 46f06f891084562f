"""Producers against an emulator: what is posted, what is refused, what comes back, and at what cost."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference_engine.aws.queues import OutgoingMessage
from inference_engine.deployment import Deployment
from inference_engine.errors import (
    EncodeError,
    InferenceEngineError,
    InvalidLabelError,
    LabelError,
    PayloadError,
    PayloadTooLargeError,
    UnknownLabelError,
    UnknownMessageError,
)
from inference_engine.jobs.attempt import Attempt, Start
from inference_engine.jobs.job import Job, ResultStatus
from inference_engine.jobs.payloads import unpack
from inference_engine.producer import AsyncProducer, Producer
from inference_engine.settings import Settings
from tests.support.fault_proxy import FaultProxy
from tests.support.queues import drain
from tests.support.waiting import eventually

LABEL = "resnet50"


async def posted(deployment: Deployment, label: str = LABEL) -> list[tuple[str, Any]]:
    """Message ids and bodies on the queue of a label, which is empty afterwards."""
    found = []
    for message in await drain(deployment.polls, await deployment.queues.of_label(label)):
        job = Job.decode(message.body)
        found.append((message.message_id, await unpack(deployment.blobs, job.body, job.body_ref)))
    return found


async def finish(deployment: Deployment, message_id: str, result: Any) -> None:
    job = Job(label=LABEL, request_id="r", body="1", submitted_at=time.time())
    attempt = Attempt(message_id, job, 1, "a")
    assert await deployment.jobs.start(attempt, 3) is Start.STARTED
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result=json.dumps(result))


async def test_many_posts_keep_their_order(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        ids = await producer.post_many(range(45), LABEL)
        assert await posted(deployment) == list(zip(ids, range(45), strict=True))
        assert len(set(ids)) == 45
        assert {await producer.retrieve_result_status(one) for one in ids} == {ResultStatus.SUBMITTED}


async def test_large_bodies_do_not_fall_behind_small_ones(deployment: Deployment) -> None:
    bodies = ["a" * 300_000, "b", "c" * 1_500_000, "d"]
    async with AsyncProducer(deployment.settings) as producer:
        ids = await producer.post_many(bodies, LABEL)
    assert await posted(deployment) == list(zip(ids, bodies, strict=True))


async def test_one_bad_body_of_many_is_raised_after_the_others_were_sent(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        with pytest.raises(EncodeError):
            await producer.post_many([1, {2}, 3], LABEL)
        assert [body for _, body in await posted(deployment)] == [1, 3]


async def test_dedup_key_makes_one_job(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        ids = [await producer.post_non_blocking(n, LABEL, dedup_key="k\ud800") for n in range(3)]
        other = await producer.post_non_blocking(9, LABEL, dedup_key="other")
    assert len(set(ids)) == 1
    assert await posted(deployment) == [(ids[0], 0), (other, 9)]


async def test_unknown_and_impossible_labels(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings.model_copy(update={"auto_create_queues": False})) as producer:
        with pytest.raises(UnknownLabelError, match="nobody"):
            await producer.post_non_blocking(1, "nobody")
        with pytest.raises(InvalidLabelError):
            await producer.post_non_blocking(1, "")
        with pytest.raises(LabelError, match="no label given"):
            await producer.post_non_blocking(1)


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({1, 2}, {}),
        ({"x": [float("nan")]}, {}),
        (1, {"deadline": float("inf")}),
        (1, {"deadline": 1e300}),
        (1, {"request_id": "r" * 5000}),
        (1, {"request_id": "\ud800"}),
    ],
)
async def test_job_that_cannot_travel_leaves_nothing_behind(
    deployment: Deployment, body: Any, options: dict[str, Any]
) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        with pytest.raises(PayloadError):
            await producer.post_non_blocking(body, LABEL, **options)
    assert await posted(deployment) == []


async def test_body_over_the_limit(deployment: Deployment) -> None:
    limits = {"payload_max_bytes": 1000, "body_inline_max_bytes": 100}
    async with AsyncProducer(deployment.settings.model_copy(update=limits)) as producer:
        with pytest.raises(PayloadTooLargeError, match="payload_max_bytes"):
            await producer.post_non_blocking("x" * 1001, LABEL)
    async with AsyncProducer(deployment.settings.model_copy(update={"bucket": None})) as producer:
        with pytest.raises(PayloadTooLargeError, match="INFERENCE_ENGINE_BUCKET"):
            await producer.post_non_blocking("x" * 300_000, LABEL)
    assert await posted(deployment) == []


async def test_large_body_goes_to_s3_and_arrives(deployment: Deployment) -> None:
    body = {"text": "\u2603" * 60_000, "bytes": bytes(range(256))}
    async with AsyncProducer(deployment.settings) as producer:
        message_id = await producer.post_non_blocking(body, LABEL)
    [message] = await drain(deployment.polls, await deployment.queues.of_label(LABEL))
    job = Job.decode(message.body)
    assert job.body is None
    assert await unpack(deployment.blobs, job.body, job.body_ref) == body
    assert message.message_id == message_id


async def test_body_that_doubles_in_its_message_fits(deployment: Deployment) -> None:
    body = ['"'] * 100_000
    async with AsyncProducer(deployment.settings.model_copy(update={"body_inline_max_bytes": 500_000})) as producer:
        message_id = await producer.post_non_blocking(body, LABEL)
    assert await posted(deployment) == [(message_id, body)]


@pytest.mark.parametrize("message_id", ["no-such-job", "", "\ud800"])
async def test_unknown_message_id(settings: Settings, message_id: str) -> None:
    async with AsyncProducer(settings) as producer:
        for ask in (producer.retrieve_result_status, producer.retrieve_result, producer.wait, producer.cancel):
            with pytest.raises(UnknownMessageError):
                await ask(message_id)


async def test_a_job_posted_this_moment_is_known_where_a_read_does_not_show_it_yet(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stale(message_id: str) -> None:
        return None

    async with AsyncProducer(deployment.settings, connect=lambda _: deployment) as producer:
        message_id = await producer.post_non_blocking(1, LABEL)
        monkeypatch.setattr(deployment.jobs, "get", stale)
        assert await producer.retrieve_result_status(message_id) is ResultStatus.SUBMITTED
        assert await producer.cancel(message_id)


async def test_timeout_is_a_response_and_the_job_lives_on(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        response = await producer.post(1, LABEL, timeout_seconds=0.01, request_id="mine")
        assert (response.status_code, response.status, response.ok) == (500, ResultStatus.SUBMITTED, False)
        assert response.error is not None
        assert response.error.type == "ResultTimeoutError"
        assert response.request_id == "mine"
        assert (await producer.retrieve_result(response.message_id)).status_code == 202
        await finish(deployment, response.message_id, {"x": 1})
        late = await producer.wait(response.message_id)
        assert (late.status_code, late.result, late.request_id) == (200, {"x": 1}, "mine")


async def test_two_wait_for_one_job_and_one_gives_up(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        message_id = await producer.post_non_blocking(1, LABEL)
        patient = asyncio.create_task(producer.wait(message_id, timeout_seconds=30))
        assert (await producer.wait(message_id, timeout_seconds=0.05)).status_code == 500
        await finish(deployment, message_id, 7)
        assert (await patient).result == 7


async def test_deadline_travels(deployment: Deployment) -> None:
    deadline = time.time() + 1000
    async with AsyncProducer(deployment.settings) as producer:
        await producer.post_non_blocking(1, LABEL, deadline=deadline)
    [message] = await drain(deployment.polls, await deployment.queues.of_label(LABEL))
    job = Job.decode(message.body)
    assert job.deadline == deadline
    assert not job.expired()


async def test_cancel(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        first, second = await producer.post_many([1, 2], LABEL)
        assert await producer.cancel(first)
        response = await producer.wait(first)
        assert (response.status, response.status_code) == (ResultStatus.CANCELLED, 500)
        await finish(deployment, second, 2)
        assert not await producer.cancel(second)


async def test_as_completed_yields_each_as_it_ends(deployment: Deployment) -> None:
    async with AsyncProducer(deployment.settings) as producer:
        ids = await producer.post_many(range(3), LABEL)
        responses = producer.as_completed(ids, timeout_seconds=20)
        for one in (2, 0, 1):
            await finish(deployment, ids[one], one)
            assert (await anext(responses)).message_id == ids[one]
        assert [response async for response in responses] == []
        with pytest.raises(UnknownMessageError):
            _ = [response async for response in producer.as_completed(["a", "b", "c"])]


async def test_post_returns_its_id_when_nobody_can_be_asked_to_load(deployment: Deployment) -> None:
    url = await deployment.queues.named(f"{deployment.settings.prefix}-placement.fifo")
    await deployment.transport.call("sqs", "delete_queue", QueueUrl=url)
    async with AsyncProducer(deployment.settings) as producer:
        message_id = await producer.post_non_blocking(1, LABEL)
    assert await posted(deployment) == [(message_id, 1)]


@pytest.mark.parametrize("submits", [False, True], ids=["post", "submit"])
async def test_what_was_sent_is_not_kept_while_its_result_is_waited_for(deployment: Deployment, submits: bool) -> None:
    def kept() -> list[Any]:
        gc.collect()
        # By isinstance, some objects of others would look for what they stand for.
        texts = [one for one in gc.get_objects() if type(one) is OutgoingMessage or type(one) is Job]
        return [one for one in texts if "a body to be found" in (one.body or "")]

    async with AsyncProducer(deployment.settings) as producer:
        if submits:
            waiting = asyncio.create_task((await producer.submit("a body to be found", LABEL)).wait(60))
        else:
            waiting = asyncio.create_task(producer.post("a body to be found", LABEL, timeout_seconds=60))
        while not (found := await posted(deployment)):
            assert not waiting.done()
        [(message_id, body)] = found
        await asyncio.to_thread(eventually, lambda: not kept(), "nothing of it is kept")
        assert body == "a body to be found"
        await finish(deployment, message_id, "done")
        assert (await waiting).result == "done"


async def test_closed_async_producer_says_so(settings: Settings) -> None:
    async with AsyncProducer(settings) as producer:
        await producer.post_non_blocking(1, LABEL)
    with pytest.raises(InferenceEngineError, match="closed"):
        await producer.post_non_blocking(1, LABEL)
    with pytest.raises(InferenceEngineError, match="closed"):
        await producer.retrieve_result("x")


def test_blocking_producer(settings: Settings) -> None:
    with Producer(settings, timeout_seconds=0.01) as producer:
        ids = producer.post_many([1, 2], LABEL)
        assert [producer.retrieve_result_status(one) for one in ids] == [ResultStatus.SUBMITTED] * 2
        assert producer.cancel(ids[0])
        assert producer.wait(ids[0]).status is ResultStatus.CANCELLED
        assert {response.message_id for response in producer.as_completed(ids)} == set(ids)
        assert producer.post(3, LABEL).status_code == 500
        producer.timeout_seconds = 0.02
        assert "0.02 s" in str(producer.post(4, LABEL).error)
    producer.close()
    with pytest.raises(InferenceEngineError, match="closed"):
        producer.post_non_blocking(1, LABEL)


def test_posts_of_many_threads_share_requests(
    settings: Settings, aws_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(aws_environment, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        barrier = threading.Barrier(200)

        def post(n: int) -> str:
            barrier.wait()
            return producer.post_non_blocking(n, LABEL)

        with Producer(settings) as producer, ThreadPoolExecutor(200) as threads:
            producer.post_non_blocking("first", LABEL)
            ids = list(threads.map(post, range(200)))
        assert len(set(ids)) == 200
        assert 20 <= proxy.calls["SendMessageBatch"] < 120


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_post_after_fork(settings: Settings) -> None:
    with Producer(settings) as producer:
        parents = producer.post_non_blocking("parent", LABEL)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, producer.post_non_blocking("child", LABEL).encode())
            except BaseException as error:
                os.write(writing, f"failed: {error!r}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            childs = pipe.read()
        os.waitpid(child, 0)
        assert childs != parents
        assert producer.retrieve_result_status(childs) is ResultStatus.SUBMITTED
        assert producer.post_non_blocking("parent again", LABEL)


@pytest.mark.parametrize("first", [False, True], ids=["by keyword", "first"])
def test_single_queue_takes_no_labels(settings: Settings, first: bool) -> None:
    queue = f"{settings.prefix}-dead-letters.fifo"
    with Producer(queue, settings=settings) if first else Producer(settings, queue_name=queue) as producer:
        assert producer.post_non_blocking(1)
        with pytest.raises(LabelError):
            producer.post_non_blocking(1, LABEL)
