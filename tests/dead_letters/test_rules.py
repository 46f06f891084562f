"""Dead letters as rules: which message of a job counts, and in what order dead letters are handled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.simulation.aws.account import Account, Connection
from inference_engine import cli
from inference_engine.aws.provision import provision
from inference_engine.dead_letters.handler import Buried
from inference_engine.dead_letters.redrive import Verdict
from inference_engine.dead_letters.store import DeadLetter, DeadMessage
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.jobs.attempt import ATTEMPTS_PER_MESSAGE, Attempt, Start, redrives_of
from inference_engine.jobs.job import Job, JobFailure, ResultStatus
from inference_engine.jobs.record import JobRecord
from inference_engine.jobs.store import DEAD_LETTERED
from inference_engine.settings import Settings
from lambdas.dead_letters import handler
from tests.support.thorough import examples

ID = "0b1c2d3e-0000-4000-8000-00000000000a"
FAILURE = JobFailure(type=DEAD_LETTERED, message="received too often")
JOB = Job(label="m", request_id="r", body="1", submitted_at=1.0)


async def connected(latency_seconds: float = 0.0) -> tuple[Deployment, Account, Connection]:
    settings = Settings(prefix="p")
    account = Account(latency_seconds)
    deployment, connection = account.connect(settings)
    await provision(connection, settings)
    return deployment, account, connection


def dead_message(body: str, group: str = "m", message_id: str = ID, deduplication_id: str = "") -> DeadMessage:
    return DeadMessage(message_id, body, group, deduplication_id or message_id, None, "handle")


# Whose word counts


class History:
    """A job's record under a random history, and what may never happen to it."""

    def __init__(self, deployment: Deployment, account: Account) -> None:
        self.aws = deployment
        self.account = account
        self.messages = [JOB]
        self.received = [0]
        self.attempts: list[Attempt] = []

    async def record(self) -> JobRecord | None:
        return await self.aws.jobs.current(ID)

    async def receive(self, choice: int) -> None:
        """A consumer gets some message of the job, be it one that should long be gone."""
        index = choice % len(self.messages)
        self.received[index] += 1
        attempt = Attempt.of(ID, self.messages[index], self.received[index], f"consumer-{choice % 3}")
        before = await self.record()
        started = await self.aws.jobs.start(attempt, 3)
        if before is not None and not before.status.finished and redrives_of(before) > (attempt.job.redrive or 0):
            assert started is Start.SUPERSEDED
        self.attempts.append(attempt)

    async def finish(self, choice: int) -> None:
        if not self.attempts:
            return
        attempt = self.attempts[choice % len(self.attempts)]
        before = await self.record()
        written = await self.aws.jobs.finish(attempt, ResultStatus.SUCCESS, result=str(attempt.number))
        if before is not None and redrives_of(before) > (attempt.job.redrive or 0):
            assert not written, "an earlier message's consumer wrote the result"

    async def release(self, choice: int) -> None:
        if self.attempts:
            await self.aws.jobs.release(self.attempts[choice % len(self.attempts)])

    async def bury(self, choice: int) -> None:
        job = self.messages[choice % len(self.messages)]
        before = await self.record()
        buried = await self.aws.jobs.bury(ID, job, FAILURE)
        after = await self.record()
        assert after is not None
        assert after.status.finished or not buried
        assert buried == await self.aws.jobs.bury(ID, job, FAILURE), "to bury again changes nothing"
        if before is not None and redrives_of(before) > (job.redrive or 0):
            assert not buried
            assert after == before, "a dead letter of an earlier message ended the job"

    async def redrive(self, choice: int) -> None:
        before = await self.record()
        again = await self.aws.jobs.redrive(ID, self.messages[choice % len(self.messages)])
        if before is not None and before.status.finished:
            assert (again is not None) == (before.error == FAILURE)
        if again is None:
            assert await self.record() == before
            return
        after = await self.record()
        assert after is not None
        assert (after.status, after.starts, after.error, after.finished_at) == (ResultStatus.SUBMITTED, 0, None, 0)
        assert (again.message_id, again.recorded, again.body) == (ID, None, JOB.body)
        assert redrives_of(after) == again.redrive
        self.messages.append(again)
        self.received.append(0)

    async def cancel(self, choice: int) -> None:
        await self.aws.jobs.cancel(ID)

    async def expire(self, choice: int) -> None:
        """DynamoDB deletes the record; only what nobody works on lives so long."""
        record = await self.record()
        if record is not None and record.error == FAILURE:
            self.account.tables.tables["p-jobs"].delete({"message_id": {"S": ID}})
            del self.attempts[:]


STEPS: dict[str, Callable[[History, int], Awaitable[None]]] = {
    "receive": History.receive,
    "finish": History.finish,
    "release": History.release,
    "bury": History.bury,
    "redrive": History.redrive,
    "cancel": History.cancel,
}


def check(name: str, before: JobRecord | None, after: JobRecord | None) -> None:
    if before is None:
        return
    assert after is not None
    assert after.attempt >= before.attempt, "the fencing token went back"
    if before.status.finished and before != after:
        assert name == "redrive"
        assert before.error == FAILURE


@hypothesis_settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 11)), max_size=25))
def test_only_the_last_message_of_a_job_has_a_say(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        deployment, account, _ = await connected()
        await deployment.jobs.submitted(ID, JOB)
        history = History(deployment, account)
        for name, choice in steps:
            before = await history.record()
            await STEPS[name](history, choice)
            check(name, before, await history.record())

    asyncio.run(run())


@given(st.lists(st.integers(0, 5), max_size=6))
def test_dead_letter_outlives_its_record(choices: list[int]) -> None:
    async def run() -> None:
        deployment, account, _ = await connected()
        history = History(deployment, account)
        for choice in choices:
            await history.bury(len(history.messages) - 1)
            await history.expire(choice)
            # Of the last message, as the dead letter that is kept last.
            await history.redrive(len(history.messages) - 1)
        numbers = [job.redrive for job in history.messages]
        assert numbers == [None, *range(1, len(choices) + 1)]

    asyncio.run(run())


async def test_operators_at_once_leave_one_message_that_counts() -> None:
    deployment, account, _ = await connected(latency_seconds=0.001)
    assert await deployment.jobs.bury(ID, JOB, FAILURE)
    others = [account.connect(deployment.settings)[0] for _ in range(5)]
    jobs = [job for job in await asyncio.gather(*(other.jobs.redrive(ID, JOB) for other in others)) if job]
    numbers = sorted(job.redrive or 0 for job in jobs)
    assert numbers == sorted(set(numbers)), "no two messages are alike"
    record = await deployment.jobs.current(ID)
    assert record is not None
    assert record.attempt == numbers[-1] * ATTEMPTS_PER_MESSAGE
    starts = {job.redrive: await deployment.jobs.look(Attempt.of("new", job, 1, "c")) for job in jobs}
    assert [number for number, start in starts.items() if start is Start.STARTED] == [numbers[-1]]
    assert set(starts.values()) <= {Start.STARTED, Start.SUPERSEDED}


# What becomes of messages


@pytest.mark.parametrize(
    ("deduplication_id", "sent_id"),
    [
        ("11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-555555555555"),
        ("4f6c5f0e2b9d4c5e8a7b6c5d4e3f2a1b", ID),
        (f"{ID}-redrive-1", ID),
        ("", ID),
    ],
)
def test_id_by_which_the_caller_polls(deduplication_id: str, sent_id: str) -> None:
    assert DeadMessage(ID, "", "g", deduplication_id, None, "h").sent_id == sent_id


def test_message_in_an_event_and_in_an_answer_is_the_same() -> None:
    attributes = {
        "MessageGroupId": "m/1",
        "MessageDeduplicationId": ID,
        "DeadLetterQueueSourceArn": "arn:aws:sqs:eu-west-1:123456789012:p-m.fifo",
    }
    event = {"messageId": ID, "body": "b", "receiptHandle": "h", "attributes": attributes}
    answer = {"MessageId": ID, "Body": "b", "ReceiptHandle": "h", "Attributes": attributes}
    expected = DeadMessage(ID, "b", "m/1", ID, "p-m.fifo", "h")
    assert DeadMessage.of_event(event) == DeadMessage.of_answer(answer) == expected


async def test_after_a_failure_its_group_waits_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, _, _ = await connected()
    messages = [dead_message("no job", group, f"{group}{n}") for n in range(3) for group in ("a", "b", "c")]
    keep = deployment.dead_letters.store.keep
    seen: list[str] = []

    async def failing(dead_letter: DeadLetter, text: str) -> DeadLetter:
        seen.append(dead_letter.message_id)
        if dead_letter.message_id == "b1":
            raise TransportError("as told")
        if dead_letter.message_id == "c0":
            raise KeyError("what nobody thought of")
        return await keep(dead_letter, text)

    monkeypatch.setattr(deployment.dead_letters.store, "keep", failing)
    buried = await deployment.dead_letters.bury(messages)
    assert sorted(one.message_id for one in buried.dead_letters) == ["a0", "a1", "a2", "b0"]
    assert sorted(message.message_id for message in buried.failed) == ["b1", "b2", "c0", "c1", "c2"]
    assert "b2" not in seen


async def test_dead_letter_that_comes_twice_is_kept_once_and_not_after_the_redrive() -> None:
    deployment, _, _ = await connected()
    message = dead_message(JOB.encode())
    for _ in range(2):
        assert [one.message_id for one in (await deployment.dead_letters.bury([message])).dead_letters] == [ID]
    assert len(await deployment.dead_letters.store.all()) == 1
    (outcome,) = await deployment.redriver().redrive([ID])
    assert outcome.verdict is Verdict.REDRIVEN
    assert await deployment.dead_letters.bury([message]) == Buried(), "what SQS brings again now is void"
    assert await deployment.dead_letters.store.all() == []
    record = await deployment.jobs.current(ID)
    assert record is not None
    assert record.status is ResultStatus.SUBMITTED


async def test_redriven_jobs_dead_letter_has_the_first_id() -> None:
    deployment, _, _ = await connected()
    await deployment.dead_letters.bury([dead_message(JOB.encode())])
    again = await deployment.jobs.redrive(ID, JOB)
    assert again is not None
    second = dead_message(again.encode(), message_id="99999999-0000-4000-8000-000000000000")
    assert [one.message_id for one in (await deployment.dead_letters.bury([second])).dead_letters] == [ID]


async def test_dead_letter_of_a_single_queue_goes_back_there() -> None:
    deployment, account, _ = await connected()
    account.queues.create_queue(QueueName="fixed.fifo", Attributes={})
    job = JOB.model_copy(update={"label": "default"})
    message = DeadMessage(ID, job.encode(), "g", ID, "fixed.fifo", "h")
    await deployment.dead_letters.bury([message])
    (outcome,) = await deployment.redriver().redrive([ID])
    assert outcome.verdict is Verdict.REDRIVEN
    (received,) = await deployment.queues.receive("fixed.fifo", wait_seconds=0, visibility_seconds=30)
    assert Job.decode(received.body).message_id == ID
    assert received.group == f"{ID}-redrive-1", "each job of such a queue has a group of its own"


async def test_dead_letter_of_a_job_that_went_on_is_dropped() -> None:
    deployment, _, _ = await connected()
    await deployment.dead_letters.bury([dead_message(JOB.encode())])
    again = await deployment.jobs.redrive(ID, JOB)
    assert again is not None
    assert await deployment.jobs.start(Attempt.of("new", again, 1, "c"), 3) is Start.STARTED
    (outcome,) = await deployment.redriver().redrive([ID])
    assert (outcome.verdict, outcome.ok) == (Verdict.VOID, True)
    assert await deployment.dead_letters.store.all() == []


# The function


def test_handler_answers_with_what_failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    loop = asyncio.new_event_loop()
    deployment, _, _ = loop.run_until_complete(connected())
    monkeypatch.setattr(handler, "_loop", loop)
    monkeypatch.setattr(handler, "_deployment", deployment)
    monkeypatch.setenv(handler.NAMESPACE_VARIABLE, "Other")
    keep = deployment.dead_letters.store.keep

    async def failing(dead_letter: DeadLetter, text: str) -> DeadLetter:
        if dead_letter.message_id == "bad":
            raise TransportError("as told")
        return await keep(dead_letter, text)

    monkeypatch.setattr(deployment.dead_letters.store, "keep", failing)
    records: list[dict[str, Any]] = [
        {"messageId": name, "body": body, "receiptHandle": "h", "attributes": {"MessageGroupId": name}}
        for name, body in ((ID, JOB.encode()), ("bad", "no job"))
    ]
    assert handler.handle({"Records": records}, None) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    record = json.loads(capsys.readouterr().out)
    (metrics,) = record["_aws"]["CloudWatchMetrics"]
    assert (metrics["Namespace"], metrics["Dimensions"]) == ("Other", [["Deployment"]])
    assert {metric["Name"]: record[metric["Name"]] for metric in metrics["Metrics"]} == {
        "DeadLetters": 1,
        "DeadLettersFailed": 1,
    }
    assert (record["Deployment"], record["DeadLetters"], record["failed"]) == ("p", 1, ["bad"])
    assert [(one["message_id"], one["label"]) for one in record["letters"]] == [(ID, "m")]
    loop.close()


# The command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dlq"], "required: ACTION"),
        (["dlq", "redrive"], "give either message ids or --all"),
        (["dlq", "redrive", "a", "--all"], "give either message ids or --all"),
        (["dlq", "purge", "a", "--label", "m"], "--label needs --all"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["dlq", "--help"])
    assert "examples:\n  inference-engine dlq" in capsys.readouterr().out
