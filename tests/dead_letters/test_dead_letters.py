"""Dead letters from end to end: a message that nobody could finish, its ERROR, its dead letter, its second life."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inference_engine import AsyncConsumer, AsyncProducer, ResultStatus, Settings, cli
from inference_engine.aws.queues import OutgoingMessage
from inference_engine.dead_letters.redrive import Verdict
from inference_engine.dead_letters.store import DeadMessage
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.fleet.view import LabelSettings
from inference_engine.jobs.attempt import Attempt, Start
from inference_engine.jobs.job import Job
from inference_engine.jobs.store import DEAD_LETTERED
from inference_engine.labels import dead_letter_queue_name
from tests.support.dead import receive_until_dead, until_left
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.queues import drain
from tests.support.workers import environment_of


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Queues of labels are made on first post, with what is set here.
    return settings.model_copy(update={"max_receive_count": 5})


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[AsyncProducer]:
    async with AsyncProducer(settings, timeout_seconds=30) as producer:
        yield producer


async def dead(
    deployment: Deployment, producer: AsyncProducer, label: str = "m", count: int = 1, **options: Any
) -> list[str]:
    ids = [await producer.post_non_blocking({"n": n}, label, **options) for n in range(count)]
    await receive_until_dead(deployment, label)
    assert (await deployment.dead_letters.waiting()).total == count
    return ids


async def compute(body: dict[str, Any], message_id: str) -> Any:
    return {"n": body["n"], "message_id": message_id}


async def test_from_death_to_a_second_life_under_the_same_id(deployment: Deployment, producer: AsyncProducer) -> None:
    (message_id,) = await dead(deployment, producer)
    buried = await deployment.dead_letters.collect()
    assert [one.message_id for one in buried.dead_letters] == [message_id]
    assert (await deployment.dead_letters.waiting()).total == 0

    response = await producer.wait(message_id)
    assert (response.status, response.status_code) == (ResultStatus.ERROR, 500)
    assert response.error is not None
    assert response.error.type == DEAD_LETTERED
    assert "received 5 times" in response.error.message
    assert not await producer.cancel(message_id)
    (dead_letter,) = await deployment.dead_letters.store.all()
    assert (dead_letter.message_id, dead_letter.label, dead_letter.received, dead_letter.redrivable) == (
        message_id,
        "m",
        5,
        True,
    )

    (outcome,) = await deployment.redriver().redrive([message_id])
    assert (outcome.verdict, outcome.ok) == (Verdict.REDRIVEN, True)
    assert await deployment.dead_letters.store.all() == []
    assert await producer.retrieve_result_status(message_id) is ResultStatus.SUBMITTED
    assert (await producer.retrieve_result(message_id)).error is None

    # No post sends a load request: the redrive did.
    consumer = AsyncConsumer(deployment.settings, compute_result=compute)
    await consumer.start()
    try:
        responses = [response async for response in producer.as_completed([message_id])]
    finally:
        await consumer.stop()
    assert [(one.message_id, one.status) for one in responses] == [(message_id, ResultStatus.SUCCESS)]
    assert responses[0].result == {"n": 0, "message_id": message_id}
    assert (await producer.wait(message_id)).ok


async def test_redriven_job_can_be_cancelled(deployment: Deployment, producer: AsyncProducer) -> None:
    (message_id,) = await dead(deployment, producer)
    await deployment.dead_letters.collect()
    await deployment.redriver().redrive([message_id])
    assert await producer.cancel(message_id)
    consumer = AsyncConsumer(deployment.settings, compute_result=compute)
    await consumer.start()
    await until_left(deployment, "m", 0)
    await consumer.stop()
    assert await producer.retrieve_result_status(message_id) is ResultStatus.CANCELLED


async def test_redriven_job_dies_again(deployment: Deployment, producer: AsyncProducer) -> None:
    (message_id,) = await dead(deployment, producer)
    await deployment.dead_letters.collect()
    for _ in range(2):
        (outcome,) = await deployment.redriver().redrive([message_id])
        assert outcome.verdict is Verdict.REDRIVEN
        await receive_until_dead(deployment, "m")
        assert [one.message_id for one in (await deployment.dead_letters.collect()).dead_letters] == [message_id]
        assert (await producer.wait(message_id)).status is ResultStatus.ERROR
    (dead_letter,) = await deployment.dead_letters.store.all()
    assert dead_letter.message_id == message_id


async def test_many_dead_letters_go_back_in_their_order_over_the_lanes(
    deployment: Deployment, producer: AsyncProducer
) -> None:
    ids = await dead(deployment, producer, count=30)
    others = await dead_of_another_label(deployment, producer)
    assert len((await deployment.dead_letters.collect()).dead_letters) == 31
    dead_letters = await deployment.dead_letters.store.all("m")
    assert [one.message_id for one in dead_letters] == ids
    await deployment.registry.set_label(LabelSettings(label="m", lanes=1))
    outcomes = await deployment.redriver().redrive(ids)
    assert {outcome.verdict for outcome in outcomes} == {Verdict.REDRIVEN}
    messages = await drain(deployment.queues, await deployment.queues.of_label("m"))
    assert [Job.decode(message.body).message_id for message in messages] == ids
    assert not set(ids) & {message.message_id for message in messages}
    assert [one.message_id for one in await deployment.dead_letters.store.all()] == others

    await deployment.registry.set_label(LabelSettings(label="other", lanes=4))
    await deployment.redriver().redrive(others)
    (message,) = await drain(deployment.queues, await deployment.queues.of_label("other"))
    assert message.group.startswith("other/")


async def dead_of_another_label(deployment: Deployment, producer: AsyncProducer) -> list[str]:
    message_id = await producer.post_non_blocking({"n": 0}, "other")
    await receive_until_dead(deployment, "other")
    return [message_id]


async def test_finished_job_keeps_its_result_and_leaves_no_dead_letter(
    deployment: Deployment, producer: AsyncProducer
) -> None:
    message_id = await producer.post_non_blocking({"n": 0}, "m")
    assert await producer.cancel(message_id)
    await receive_until_dead(deployment, "m")
    buried = await deployment.dead_letters.collect()
    assert (buried.dead_letters, buried.failed) == ((), ())
    assert (await deployment.dead_letters.waiting()).total == 0
    assert await producer.retrieve_result_status(message_id) is ResultStatus.CANCELLED


async def test_blocking_post_without_a_record_hears_of_the_death(
    deployment: Deployment, producer: AsyncProducer
) -> None:
    posting = asyncio.create_task(producer.post({"n": 7}, "m"))
    await until_left(deployment, "m", 1)
    await receive_until_dead(deployment, "m")
    await deployment.dead_letters.collect()
    response = await posting
    assert response.error is not None
    assert response.error.type == DEAD_LETTERED
    (outcome,) = await deployment.redriver().redrive([response.message_id])
    assert outcome.verdict is Verdict.REDRIVEN
    (message,) = await drain(deployment.queues, await deployment.queues.of_label("m"))
    assert Job.decode(message.body).recorded is None, "its record is there now"


async def test_what_is_no_job_is_kept_and_cannot_be_redriven(deployment: Deployment) -> None:
    url = await deployment.queues.named(dead_letter_queue_name(deployment.settings.prefix))
    sent = await deployment.queues.send(url, OutgoingMessage("☃ is no job", "g", "d"))
    buried = await deployment.dead_letters.collect()
    assert [one.message_id for one in buried.dead_letters] == [sent]
    found = await deployment.dead_letters.store.get(sent)
    assert found is not None
    dead_letter, text = found
    assert (dead_letter.label, dead_letter.redrivable, text) == (None, False, "☃ is no job")
    assert "not a job of this library" in dead_letter.reason
    (outcome,) = await deployment.redriver().redrive([sent])
    assert (outcome.verdict, outcome.ok) == (Verdict.NO_JOB, False)
    assert [one.verdict for one in await deployment.redriver().purge([sent, sent, "nobody"])] == [
        Verdict.PURGED,
        Verdict.UNKNOWN,
    ]
    assert await deployment.dead_letters.store.all() == []


async def test_deadline_that_has_passed(deployment: Deployment, producer: AsyncProducer) -> None:
    deadline = time.time() + 1
    (message_id,) = await dead(deployment, producer, deadline=deadline)
    await deployment.dead_letters.collect()
    await asyncio.sleep(max(0.0, deadline - time.time()))
    (outcome,) = await deployment.redriver().redrive([message_id])
    assert (outcome.verdict, outcome.ok) == (Verdict.LATE, False)
    assert (await producer.retrieve_result(message_id)).status is ResultStatus.ERROR
    (outcome,) = await deployment.redriver().redrive([message_id], ignore_deadline=True)
    assert outcome.verdict is Verdict.REDRIVEN
    (message,) = await drain(deployment.queues, await deployment.queues.of_label("m"))
    assert Job.decode(message.body).deadline is None


@pytest.mark.parametrize("with_bucket", [True, False])
async def test_large_text_goes_to_the_bucket_or_is_not_kept(
    settings: Settings, producer: AsyncProducer, with_bucket: bool
) -> None:
    settings = settings if with_bucket else settings.model_copy(update={"bucket": None})
    deployment = Deployment.for_consumer(settings)
    job = Job(label="m", request_id="r", body="1" * 500_000, submitted_at=time.time())
    url = await deployment.queues.of_label("m")
    message_id = await deployment.queues.send(url, OutgoingMessage(job.encode(), "m", "d"))
    await receive_until_dead(deployment, "m")
    await deployment.dead_letters.collect()
    found = await deployment.dead_letters.store.get(message_id)
    assert found is not None
    dead_letter, text = found
    assert dead_letter.redrivable is with_bucket
    (outcome,) = await deployment.redriver().redrive([message_id])
    if with_bucket:
        assert text == job.encode()
        assert outcome.verdict is Verdict.REDRIVEN
    else:
        assert "its text is not kept" in dead_letter.reason
        assert outcome.verdict is Verdict.NO_JOB
    await deployment.close()


async def test_crash_between_record_and_message_makes_no_second_job(
    deployment: Deployment, producer: AsyncProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message_id,) = await dead(deployment, producer)
    await deployment.dead_letters.collect()
    with monkeypatch.context() as patch:
        patch.setattr(deployment.queues, "send", refuse)
        (outcome,) = await deployment.redriver().redrive([message_id])
        assert (outcome.verdict, outcome.ok) == (Verdict.FAILED, False)
    assert [one.verdict for one in await deployment.redriver().purge([message_id])] == [Verdict.UNDER_WAY]
    with monkeypatch.context() as patch:
        patch.setattr(deployment.dead_letters.store, "discard", refuse)
        assert [one.verdict for one in await deployment.redriver().redrive([message_id])] == [Verdict.FAILED]
    assert [one.verdict for one in await deployment.redriver().redrive([message_id])] == [Verdict.REDRIVEN]
    assert (await deployment.queues.backlog(await deployment.queues.of_label("m"))).total == 2, (
        "the first one was sent before the dead letter could be deleted"
    )

    computed: list[str] = []

    async def count(body: Any, message_id: str) -> str:
        computed.append(message_id)
        return "done"

    consumer = AsyncConsumer(deployment.settings, compute_result=count)
    await consumer.start()
    try:
        assert (await producer.wait(message_id)).ok
        await until_left(deployment, "m", 0)
    finally:
        await consumer.stop()
    assert computed == [message_id]


@pytest.mark.parametrize("fault", list(Fault))
async def test_burial_and_redrive_survive_a_fault(
    settings: Settings, aws_environment: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(label="m", request_id="r", body="1", submitted_at=time.time())
    message = DeadMessage("an-id", job.encode(), "m", "d", None, "handle")
    with FaultProxy(aws_environment, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        deployment = Deployment.for_consumer(settings)
        operations = ("BatchGetItem", "BatchExecuteStatement", "PutItem")
        for operation in operations:
            proxy.plan(operation, fault)
        (dead_letter,) = (await deployment.dead_letters.bury([message])).dead_letters
        for operation in (*operations, "GetItem", "DeleteItem", "SendMessageBatch"):
            proxy.plan(operation, fault)
        (outcome,) = await deployment.redriver().redrive([dead_letter.message_id])
        assert outcome.verdict is Verdict.REDRIVEN
        assert await deployment.dead_letters.store.all() == []
        (sent,) = await drain(deployment.queues, await deployment.queues.of_label("m"))
        record = await deployment.jobs.current("an-id")
        assert record is not None
        assert await deployment.jobs.look(Attempt.of(sent.message_id, Job.decode(sent.body), 1, "c")) is Start.STARTED
        await deployment.close()


async def test_commands(
    deployment: Deployment, producer: AsyncProducer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment_of(deployment.settings).items():
        monkeypatch.setenv(name, value)

    async def run(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(cli.main, ["dlq", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    ids = await dead(deployment, producer, count=2)
    code, out, err = await run("list")
    assert (code, out) == (0, "no dead letters\n")
    assert "2 messages are in the dead-letter queue" in err
    assert await run("collect") == (0, "2 dead letters collected\n", "")
    code, out, _ = await run("list", "--label", "m", "--json")
    listed = json.loads(out)
    assert [one["message_id"] for one in listed["letters"]] == ids
    assert listed["queue"] == {"visible": 0, "in_flight": 0}
    code, out, err = await run("list")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ids
    assert err == ""

    code, out, _ = await run("redrive", ids[0], "nobody", "--json")
    assert code == 1
    assert [row["outcome"] for row in json.loads(out)] == ["redriven", "unknown"]
    assert (await run("redrive", "--all", "--label", "other"))[0] == 0
    code, _, err = await run("purge", "--all")
    assert code == 2
    assert "give --yes" in err
    code, out, _ = await run("purge", "--all", "--yes")
    assert (code, out.split()[-1]) == (0, "purged")
    assert (await run("list"))[1] == "no dead letters\n"


async def refuse(*_: object) -> None:
    raise TransportError("as told")
