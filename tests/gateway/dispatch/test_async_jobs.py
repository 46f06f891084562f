"""Jobs that are accepted without a waiting caller: the bound of a label's queue, and which of them have not ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inference_engine import ResultStatus, Settings
from inference_engine.aws.queues import Backlog
from inference_engine.deployment import Deployment
from inference_engine.errors import EncodeError, TransportError, UnknownLabelError
from inference_engine.gateway.auth.caller import Caller, Context
from inference_engine.gateway.dispatch import async_jobs as accepted
from inference_engine.gateway.dispatch.async_jobs import AsyncJobs
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.http.problems import Problem, problem_of
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.jobs.job import Job
from tests.support.waiting import HANG_SECONDS

CONTEXT = Context(Caller(), 0, "/", 30, request_id="asked")


@pytest.fixture
async def gateway(deployment: Deployment) -> AsyncIterator[Service]:
    """A gateway with a small bound, on the connections of `aws`."""
    async with Service(deployment, GatewaySettings(max_queue_size=5)) as made:
        yield made


class Counts:
    """SQS's counts of queues, as told; and how often somebody asked for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, deployment: Deployment, told: int | None = None) -> None:
        self.told = told
        self.asked = 0
        self._read = deployment.queues.backlog
        monkeypatch.setattr(deployment.queues, "backlog", self)

    async def __call__(self, url: str) -> Backlog:
        self.asked += 1
        return await self._read(url) if self.told is None else Backlog(self.told, 0)


def refused(outcomes: list[Any]) -> list[Problem]:
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert all((problem.status, problem.kind) == (429, "queue-full") for problem in problems)
    return problems


async def test_the_bound_of_a_label_s_queue_holds_over_all_gateways(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if so long went by between any two jobs.
    monkeypatch.setattr(accepted, "BELIEVED_FULL_SECONDS", 0.0)
    one, other = AsyncJobs(deployment, 3), AsyncJobs(deployment, 3)
    for gate in (one, one, other):
        async with gate.place("m"):
            await gateway.submit("m", 1, CONTEXT)
    for gate in (other, one):
        with pytest.raises(Problem) as full:
            async with gate.place("m"):
                pytest.fail("there is no place")
        assert (full.value.status, full.value.kind) == (429, "queue-full")
        assert int(full.value.headers["Retry-After"]) >= 1
    assert await one.backlog("m") == 3
    async with one.place("another"):
        pass


async def test_the_bound_holds_however_many_post_at_once(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(monkeypatch, deployment)
    await gateway.submit("m", 1, CONTEXT)
    for _ in range(2):
        posts = [gateway.submit("m", 1, CONTEXT) for _ in range(100)]
        outcomes = await asyncio.gather(*posts, return_exceptions=True)
        monkeypatch.setattr(accepted, "BELIEVED_FULL_SECONDS", 0.0)
    assert len(refused(outcomes)) == 100
    assert await gateway.queue_size("m", CONTEXT) == 5
    # The first post finds no queue to ask; the second hundred shares one look, as does who asks for the size.
    assert counts.asked <= 3


async def test_what_sqs_does_not_count_yet_counts(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "BELIEVED_FULL_SECONDS", 0.0)
    Counts(monkeypatch, deployment, told=0)
    for _ in range(5):
        await gateway.submit("m", 1, CONTEXT)
    assert await gateway.queue_size("m", CONTEXT) == 0
    outcomes = await asyncio.gather(*(gateway.submit("m", 1, CONTEXT) for _ in range(20)), return_exceptions=True)
    assert len(refused(outcomes)) == 20
    # Once SQS must have counted them, its word is taken.
    monkeypatch.setattr(accepted, "COUNTED_LATE_SECONDS", -60)
    await gateway.submit("m", 1, CONTEXT)


async def test_jobs_that_were_not_sent_take_no_place(gateway: Service) -> None:
    for _ in range(5):
        with pytest.raises(EncodeError):
            await gateway.submit("m", float("inf"), CONTEXT)
    await gateway.submit("m", 1, CONTEXT)


async def test_jobs_that_may_have_been_sent_keep_their_place(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(message_id: str, job: Job) -> None:
        raise TransportError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(deployment.jobs, "submitted", lost)
        for _ in range(5):
            with pytest.raises(TransportError):
                await gateway.submit("m", 1, CONTEXT)
    with pytest.raises(Problem, match="about 5 jobs"):
        await gateway.submit("m", 1, CONTEXT)


async def test_a_caller_that_leaves_takes_the_reading_from_nobody(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = deployment.queues.of_label, asyncio.Event()

    async def slowly(label: str, *, create: bool | None = None) -> str:
        await go_on.wait()
        return await read(label, create=create)

    monkeypatch.setattr(deployment.queues, "of_label", slowly)
    first, second = (asyncio.ensure_future(gateway.submit("m", n, CONTEXT)) for n in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go_on.set()
    assert (await gateway.result(await second, CONTEXT)).status is ResultStatus.SUBMITTED


async def test_who_asks_for_the_size_of_a_queue_makes_none(
    settings: Settings, deployment: Deployment, gateway: Service
) -> None:
    assert await gateway.queue_size("never-posted", CONTEXT) == 0
    with pytest.raises(UnknownLabelError):
        await deployment.queues.of_label("never-posted", create=False)
    fixed = settings.model_copy(update={"auto_create_queues": False})
    async with Service(Deployment.for_producer(fixed), GatewaySettings()) as other:
        for attempt in (other.queue_size("nobody", CONTEXT), other.submit("nobody", 1, CONTEXT)):
            with pytest.raises(UnknownLabelError) as unknown:
                await attempt
            problem = problem_of(unknown.value)
            assert (problem.status, problem.detail) == (404, "no model or queue has the label 'nobody'")


async def test_who_asks_for_the_size_while_the_first_job_is_posted_disturbs_nothing(gateway: Service) -> None:
    for label in "abcdefgh":
        size, message_id = await asyncio.gather(gateway.queue_size(label, CONTEXT), gateway.submit(label, 1, CONTEXT))
        assert size in (0, 1)
        assert (await gateway.result(message_id, CONTEXT)).label == label


# --- unfinished -----------------------------------------------------------------------------------------------------------


class Looks:
    """Look-ups of records, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, deployment: Deployment) -> None:
        self.of: list[str] = []
        self._find = deployment.jobs.find
        monkeypatch.setattr(deployment.jobs, "find", self)

    async def __call__(self, message_id: str) -> Any:
        self.of.append(message_id)
        return await self._find(message_id)


async def test_one_who_asks_has_so_many_looked_at_and_the_next_one_the_others(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "LOOKED_AT", 2)
    ids = [await gateway.submit("m", n, CONTEXT) for n in range(5)]
    for message_id in ids[1:4:2]:
        await deployment.jobs.cancel(message_id)
    looks = Looks(monkeypatch, deployment)
    assert sorted(await gateway.unfinished(CONTEXT)) == sorted({*ids} - {ids[1]})
    assert sorted(await gateway.unfinished(CONTEXT)) == sorted({*ids} - {ids[1], ids[3]})
    await gateway.unfinished(CONTEXT)
    assert looks.of == [*ids, ids[0]]


async def test_many_who_ask_at_once_share_what_is_looked_at(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await gateway.submit("m", n, CONTEXT) for n in range(5)]
    looks = Looks(monkeypatch, deployment)
    told = await asyncio.gather(*(gateway.unfinished(CONTEXT) for _ in range(20)))
    assert told == [ids] * 20
    # Who came while it was looked at has it looked at once more, since the first answer may be older than the question.
    assert len(looks.of) <= 2 * len(ids)


async def test_a_record_that_a_read_does_not_show_yet_is_found_all_the_same(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stale(message_id: str) -> None:
        return None

    monkeypatch.setattr(deployment.jobs, "get", stale)
    message_id = await gateway.submit("m", 1, CONTEXT)
    assert (await gateway.result(message_id, CONTEXT)).status_code == 202
    for _ in range(2):
        assert await gateway.unfinished(CONTEXT) == [message_id]
    assert await gateway.cancel(message_id, CONTEXT)
    assert await gateway.unfinished(CONTEXT) == []


# --- the end --------------------------------------------------------------------------------------------------------------


async def test_a_gateway_that_stops_waits_for_jobs_that_are_being_posted(
    deployment: Deployment, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sending, go_on = deployment.queues.send, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any) -> str:
        sending.set()
        await go_on.wait()
        return await send(*args)

    monkeypatch.setattr(deployment.queues, "send", slowly)
    post = asyncio.ensure_future(gateway.submit("m", 1, CONTEXT))
    await sending.wait()
    gateway.stop()
    ended = asyncio.ensure_future(gateway.emptied())
    await asyncio.wait([ended], timeout=0.1)
    assert not ended.done()
    go_on.set()
    async with asyncio.timeout(HANG_SECONDS):
        await ended
    assert post.done()
    assert (await gateway.result(await post, CONTEXT)).status is ResultStatus.SUBMITTED
