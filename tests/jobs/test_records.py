"""Job records: every transition, who wins a race, and what a late writer may not do."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from inference_engine.deployment import Deployment
from inference_engine.jobs.attempt import Attempt, Start
from inference_engine.jobs.job import Job, JobFailure, ResultStatus
from inference_engine.jobs.store import EXPIRY_STEP_SECONDS, JobRecords
from inference_engine.settings import Settings
from tests.support.deployments import connected
from tests.support.fault_proxy import Fault, FaultProxy

MAX_STARTS = 3


def new_job(**fields: object) -> tuple[str, Job]:
    values = {"label": "resnet50", "request_id": "r", "body": "1", "submitted_at": time.time()} | fields
    return uuid.uuid4().hex, Job.model_validate(values)


async def started(jobs: JobRecords, message_id: str, job: Job, number: int = 1, consumer: str = "a") -> Attempt:
    attempt = Attempt(message_id, job, number, consumer)
    assert await jobs.start(attempt, MAX_STARTS) is Start.STARTED
    return attempt


async def start_of(jobs: JobRecords, message_id: str, job: Job, number: int, consumer: str) -> Start:
    return await jobs.start(Attempt(message_id, job, number, consumer), MAX_STARTS)


async def test_life_of_a_job(deployment: Deployment) -> None:
    message_id, job = new_job()
    assert await deployment.jobs.get(message_id) is None
    await deployment.jobs.submitted(message_id, job)
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.label, record.request_id) == (ResultStatus.SUBMITTED, "resnet50", "r")
    assert (record.attempt, record.starts, record.consumer) == (0, 0, "")
    attempt = await started(deployment.jobs, message_id, job)
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.attempt, record.starts, record.consumer) == (ResultStatus.IN_PROGRESS, 1, 1, "a")
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="42")
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.result, record.error) == (ResultStatus.SUCCESS, "42", None)
    assert record.submitted_at <= record.started_at <= record.finished_at <= record.expires_at


async def test_failure_is_kept(deployment: Deployment) -> None:
    message_id, job = new_job()
    attempt = await started(deployment.jobs, message_id, job)
    failure = JobFailure(type="ValueError", message='it said "no" — \u2603')
    assert await deployment.jobs.finish(attempt, ResultStatus.ERROR, error=failure)
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.error, record.result) == (ResultStatus.ERROR, failure, None)


async def test_start_makes_the_record_that_is_missing(deployment: Deployment) -> None:
    message_id, job = new_job()
    attempt = await started(deployment.jobs, message_id, job)
    await deployment.jobs.submitted(message_id, job)
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert record.status is ResultStatus.IN_PROGRESS
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1")
    await deployment.jobs.submitted(message_id, job)
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert record.status is ResultStatus.SUCCESS


async def test_submitted_and_start_at_once(deployment: Deployment) -> None:
    pairs = [new_job() for _ in range(30)]
    await asyncio.gather(
        *(deployment.jobs.submitted(message_id, job) for message_id, job in pairs),
        *(started(deployment.jobs, message_id, job) for message_id, job in pairs),
    )
    records = await asyncio.gather(*(deployment.jobs.get(message_id) for message_id, _ in pairs))
    assert {record.status for record in records if record} == {ResultStatus.IN_PROGRESS}
    assert {record.starts for record in records if record} == {1}


async def test_later_attempt_fences_off_the_earlier(deployment: Deployment) -> None:
    message_id, job = new_job()
    first = await started(deployment.jobs, message_id, job, 1, "a")
    second = await started(deployment.jobs, message_id, job, 2, "b")
    assert second.starts == 2
    assert not await deployment.jobs.finish(first, ResultStatus.SUCCESS, result="late")
    assert not await deployment.jobs.release(first)
    assert await start_of(deployment.jobs, message_id, job, 1, "a") is Start.STALE
    assert await deployment.jobs.finish(second, ResultStatus.SUCCESS, result="right")
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.result, record.consumer) == ("right", "b")


async def test_same_attempt_of_another_consumer_is_stale(deployment: Deployment) -> None:
    message_id, job = new_job()
    await started(deployment.jobs, message_id, job, 1, "a")
    assert await start_of(deployment.jobs, message_id, job, 1, "b") is Start.STALE


async def test_repeated_start_is_the_same_start(deployment: Deployment) -> None:
    message_id, job = new_job()
    await deployment.jobs.submitted(message_id, job)
    first, again = await started(deployment.jobs, message_id, job), await started(deployment.jobs, message_id, job)
    assert (first.known, first.starts) == (again.known, 1)


async def test_concurrent_starts_have_one_winner(deployment: Deployment) -> None:
    message_id, job = new_job()
    await deployment.jobs.submitted(message_id, job)
    outcomes = await asyncio.gather(*(start_of(deployment.jobs, message_id, job, 1, f"c{i}") for i in range(10)))
    assert outcomes.count(Start.STARTED) == 1
    assert set(outcomes) == {Start.STARTED, Start.STALE}


async def test_finished_job_never_changes(deployment: Deployment) -> None:
    message_id, job = new_job()
    attempt = await started(deployment.jobs, message_id, job)
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1")
    assert await start_of(deployment.jobs, message_id, job, 2, "b") is Start.FINISHED
    assert not await deployment.jobs.cancel(message_id)
    assert not await deployment.jobs.release(attempt)
    assert not await deployment.jobs.finish(attempt, ResultStatus.ERROR, error=JobFailure(type="E", message="m"))
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1"), (
        "a repeated finish agrees with itself"
    )
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.result) == (ResultStatus.SUCCESS, "1")


async def test_release_takes_the_start_back(deployment: Deployment) -> None:
    message_id, job = new_job()
    attempt = await started(deployment.jobs, message_id, job, 1)
    assert await deployment.jobs.release(attempt)
    assert await deployment.jobs.release(attempt), "a repeated release agrees with itself"
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.starts) == (ResultStatus.SUBMITTED, 0)
    assert (await started(deployment.jobs, message_id, job, 2, "b")).starts == 1


async def test_too_many_starts(deployment: Deployment) -> None:
    message_id, job = new_job()
    for number in range(1, MAX_STARTS + 1):
        await started(deployment.jobs, message_id, job, number)
    attempt = Attempt(message_id, job, MAX_STARTS + 1, "a")
    assert await deployment.jobs.start(attempt, MAX_STARTS) is Start.EXHAUSTED
    assert attempt.starts == MAX_STARTS + 1
    assert await deployment.jobs.start(attempt, MAX_STARTS) is Start.EXHAUSTED
    assert await deployment.jobs.finish(attempt, ResultStatus.ERROR, error=JobFailure(type="E", message="m"))


async def test_quick_job_goes_from_submitted_to_its_end(deployment: Deployment) -> None:
    message_id, job = new_job()
    await deployment.jobs.submitted(message_id, job)
    attempt = Attempt(message_id, job, 1, "a")
    assert await deployment.jobs.look(attempt) is Start.STARTED
    assert not attempt.start_recorded
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, started_at=time.time(), result="42")
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.result, record.attempt, record.consumer) == (ResultStatus.SUCCESS, "42", 1, "a")
    assert record.submitted_at <= record.started_at <= record.finished_at
    assert await deployment.jobs.look(Attempt(message_id, job, 2, "b")) is Start.FINISHED


async def test_job_without_a_record_gets_one_at_its_end(deployment: Deployment) -> None:
    message_id, job = new_job(recorded=False)
    attempt = Attempt(message_id, job, 1, "a")
    assert await deployment.jobs.look(attempt) is Start.STARTED
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="42")
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.label, record.result) == (ResultStatus.SUCCESS, job.label, "42")


@pytest.mark.parametrize("recorded", [None, False])
async def test_quick_end_meets_a_record_that_came_meanwhile(deployment: Deployment, recorded: bool | None) -> None:
    message_id, job = new_job(recorded=recorded)
    attempt = Attempt(message_id, job, 1, "a")
    assert await deployment.jobs.look(attempt) is Start.STARTED
    await deployment.jobs.submitted(message_id, job)
    assert await deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="42")
    record = await deployment.jobs.get(message_id)
    assert record is not None
    assert (record.status, record.result) == (ResultStatus.SUCCESS, "42")


async def test_quick_end_is_fenced_off_by_a_later_attempt_and_by_a_cancellation(deployment: Deployment) -> None:
    for recorded in (None, False):
        message_id, job = new_job(recorded=recorded)
        quick = Attempt(message_id, job, 1, "a")
        assert await deployment.jobs.look(quick) is Start.STARTED
        later = await started(deployment.jobs, message_id, job, 2, "b")
        assert not await deployment.jobs.finish(quick, ResultStatus.SUCCESS, result="late")
        assert await deployment.jobs.look(Attempt(message_id, new_job()[1], 1, "a")) is Start.STALE
        assert await deployment.jobs.cancel(message_id)
        assert not await deployment.jobs.finish(later, ResultStatus.SUCCESS, result="later still")


async def test_start_noted_while_the_end_is_written(deployment: Deployment) -> None:
    pairs = [new_job() for _ in range(20)]
    attempts = [Attempt(message_id, job, 1, "a") for message_id, job in pairs]
    await asyncio.gather(*(deployment.jobs.submitted(message_id, job) for message_id, job in pairs))
    await asyncio.gather(*(deployment.jobs.look(attempt) for attempt in attempts))
    starts = [deployment.jobs.start(attempt, MAX_STARTS) for attempt in attempts]
    ends = [deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1") for attempt in attempts]
    outcomes = await asyncio.gather(*starts, *ends)
    assert all(outcomes[20:])
    records = await asyncio.gather(*(deployment.jobs.get(attempt.message_id) for attempt in attempts))
    assert {record.status for record in records if record} == {ResultStatus.SUCCESS}


async def test_cancel(deployment: Deployment) -> None:
    message_id, job = new_job()
    assert not await deployment.jobs.cancel(message_id)
    await deployment.jobs.submitted(message_id, job)
    assert await deployment.jobs.cancel(message_id)
    assert await deployment.jobs.cancel(message_id)
    assert await start_of(deployment.jobs, message_id, job, 1, "a") is Start.FINISHED


async def test_cancel_against_finish_has_one_winner(deployment: Deployment) -> None:
    pairs = [new_job() for _ in range(20)]
    attempts = [await started(deployment.jobs, message_id, job) for message_id, job in pairs]
    other = JobRecords(deployment.transport, deployment.settings.jobs_table, deployment.settings.result_ttl_seconds)
    finished = [deployment.jobs.finish(attempt, ResultStatus.SUCCESS, result="1") for attempt in attempts]
    cancelled = [other.cancel(attempt.message_id) for attempt in attempts]
    outcomes = await asyncio.gather(*finished, *cancelled)
    for attempt, finish, cancel in zip(attempts, outcomes[:20], outcomes[20:], strict=True):
        record = await deployment.jobs.get(attempt.message_id)
        assert record is not None
        assert finish != cancel
        assert record.status is (ResultStatus.SUCCESS if finish else ResultStatus.CANCELLED)


async def test_hundreds_of_records_at_once(deployment: Deployment) -> None:
    pairs = [new_job(request_id=str(index)) for index in range(230)]
    await asyncio.gather(*(deployment.jobs.submitted(message_id, job) for message_id, job in pairs))
    records = await asyncio.gather(*(deployment.jobs.get(message_id) for message_id, _ in pairs))
    assert [record.request_id for record in records if record] == [str(index) for index in range(230)]


@pytest.mark.parametrize("message_id", ["", "x" * 3000, "\ud800", "☃"])
async def test_impossible_message_id_is_unknown_and_harms_nobody(deployment: Deployment, message_id: str) -> None:
    good, job = new_job()
    await deployment.jobs.submitted(good, job)
    record, nothing = await asyncio.gather(deployment.jobs.get(good), deployment.jobs.get(message_id))
    assert record is not None
    assert nothing is None


async def test_expired_record_is_gone_and_a_start_renews_it(deployment: Deployment) -> None:
    message_id, job = new_job()
    brief = JobRecords(deployment.transport, deployment.settings.jobs_table, -2 * EXPIRY_STEP_SECONDS)
    await brief.submitted(message_id, job)
    assert await brief.get(message_id) is None
    await started(deployment.jobs, message_id, job)
    assert await deployment.jobs.get(message_id) is not None


@pytest.mark.parametrize("fault", list(Fault))
async def test_each_write_survives_a_fault(
    settings: Settings, aws_environment: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(aws_environment, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        deployment = connected(settings)
        jobs = JobRecords(deployment.transport, settings.jobs_table, 60)
        message_id, job = new_job()
        proxy.plan("BatchExecuteStatement", fault)
        await jobs.submitted(message_id, job)
        proxy.plan("BatchExecuteStatement", fault)
        first, attempt = Attempt(message_id, job, 1, "a"), Attempt(message_id, job, 2, "a")
        assert (await jobs.start(first, 1), first.starts) == (Start.STARTED, 1)
        proxy.plan("BatchExecuteStatement", fault)
        assert (await jobs.start(attempt, 1), attempt.starts) == (Start.EXHAUSTED, 2)
        proxy.plan("BatchExecuteStatement", fault)
        assert await jobs.finish(attempt, ResultStatus.SUCCESS, result="1")
        proxy.plan("BatchGetItem", fault)
        assert await jobs.get(message_id) is not None
        assert proxy.faults[fault] == 5
        await deployment.close()
