"""Jobs whose callers know the message id while they wait, and may stop waiting."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from inference_engine.deployment import Deployment
from inference_engine.errors import UnknownMessageError
from inference_engine.jobs.attempt import Attempt, Start
from inference_engine.jobs.job import Job, ResultStatus
from inference_engine.producer import AsyncProducer, Producer
from inference_engine.settings import Settings

LABEL = "resnet50"


async def finish(deployment: Deployment, message_id: str, result: str) -> None:
    attempt = Attempt(message_id, Job(label=LABEL, request_id="r", body="1", submitted_at=1.0), 1, "a")
    assert await deployment.jobs.start(attempt, 3) is Start.STARTED
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result=result)


class Written:
    """A stand-in for `JobRecords.submitted` that counts."""

    def __init__(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.message_ids: list[str] = []
        self._write = deployment.jobs.submitted
        monkeypatch.setattr(deployment.jobs, "submitted", self)

    async def __call__(self, message_id: str, job: Job) -> None:
        self.message_ids.append(message_id)
        await self._write(message_id, job)


async def test_a_submission_is_known_before_its_result_and_has_a_record_once_a_wait_was_in_vain(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(deployment, monkeypatch)
    async with AsyncProducer(deployment.settings, connect=lambda _: deployment) as producer:
        submission = await producer.submit(1, LABEL, request_id="mine")
        assert written.message_ids == []
        with pytest.raises(UnknownMessageError):
            await producer.retrieve_result(submission.message_id)
        for _ in range(2):
            response = await submission.wait(0.01)
            assert response.error is not None
            assert (response.status_code, response.error.type) == (500, "ResultTimeoutError")
            assert (response.message_id, response.request_id) == (submission.message_id, "mine")
            assert written.message_ids == [submission.message_id]
        assert await producer.retrieve_result_status(submission.message_id) is ResultStatus.SUBMITTED
        await finish(deployment, submission.message_id, "42")
        assert (await submission.wait()).result == 42
        assert written.message_ids == [submission.message_id]


async def test_a_quick_job_of_a_submission_needs_no_record_of_its_producer(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(deployment, monkeypatch)
    async with AsyncProducer(deployment.settings, connect=lambda _: deployment) as producer:
        submission = await producer.submit(1, LABEL)
        await finish(deployment, submission.message_id, "42")
        assert (await submission.wait()).result == 42
        assert (await submission.wait()).result == 42
    assert written.message_ids == []


@pytest.mark.parametrize("posted", [False, True], ids=["submission", "posted before"])
async def test_an_event_ends_a_wait_with_the_response_as_it_stands(deployment: Deployment, posted: bool) -> None:
    enough = asyncio.Event()
    async with AsyncProducer(deployment.settings, timeout_seconds=1000) as producer:
        if posted:
            message_id = await producer.post_non_blocking(1, LABEL)
            waiting = asyncio.create_task(producer.wait(message_id, until=enough.wait()))
        else:
            submission = await producer.submit(1, LABEL)
            message_id = submission.message_id
            waiting = asyncio.create_task(submission.wait(until=enough.wait()))
        await asyncio.sleep(0)
        enough.set()
        response = await waiting
        assert (response.message_id, response.status) == (message_id, ResultStatus.SUBMITTED)
        assert (response.status_code, response.error) == (202, None)
        assert await producer.retrieve_result_status(message_id) is ResultStatus.SUBMITTED


async def test_a_future_that_may_end_a_wait_is_left_as_it_is_and_a_coroutine_is_not_left_running(
    deployment: Deployment,
) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with AsyncProducer(deployment.settings) as producer:
        submission = await producer.submit(1, LABEL)
        assert (await submission.wait(0.01, until=never())).status_code == 500
        assert ended.is_set()
        assert (await submission.wait(0.01, until=future)).status_code == 500
        assert not future.done()
        await finish(deployment, submission.message_id, "42")
        assert (await submission.wait(until=future)).result == 42
        future.set_result(None)
        assert (await submission.wait(until=future)).result == 42


def finish_now(settings: Settings, message_id: str) -> None:
    async def connected() -> None:
        deployment = Deployment.for_producer(settings)
        await finish(deployment, message_id, "42")
        await deployment.close()

    asyncio.run(connected())


def test_a_thread_waits_for_a_submission_in_steps(settings: Settings) -> None:
    with Producer(settings, timeout_seconds=0.01) as producer:
        submission = producer.submit(1, LABEL)
        assert repr(submission) == f"Submission(message_id={submission.message_id!r})"
        assert submission.wait().status_code == 500
        assert producer.retrieve_result_status(submission.message_id) is ResultStatus.SUBMITTED
        finish_now(settings, submission.message_id)
        assert submission.wait(60).result == 42


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_waits_for_its_parents_submission(settings: Settings) -> None:
    with Producer(settings) as producer:
        submission = producer.submit(1, LABEL)
        finish_now(settings, submission.message_id)
        reading, writing = os.pipe()
        if os.fork() == 0:
            result: Any = None
            try:
                result = submission.wait(60).result
            finally:
                os.write(writing, repr(result).encode())
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert pipe.read() == "42"
        os.wait()
        assert submission.wait(60).result == 42
