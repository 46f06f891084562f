"""Posting while AWS throttles, fails and loses answers: no job is lost, none is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from inference_engine.deployment import Deployment
from inference_engine.jobs.job import ResultStatus
from inference_engine.producer import AsyncProducer
from inference_engine.settings import Settings
from tests.support.deployments import with_short_terms
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.queues import drain

pytestmark = pytest.mark.faults

LABEL = "resnet50"
POSTS = 500
AT_ONCE = 25


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_short_terms(settings)


@pytest.fixture
def proxy(aws_environment: str) -> Iterator[FaultProxy]:
    with FaultProxy(aws_environment, share=0.05, seed=1) as proxy:
        yield proxy


async def test_posts_survive_faults(deployment: Deployment, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    # Connected before the proxy comes in between: what is on the queue is looked at without faults.
    url = await deployment.queues.of_label(LABEL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    async with AsyncProducer(deployment.settings) as producer:

        async def post_in_turn(first: int) -> list[str]:
            return [await producer.post_non_blocking(n, LABEL) for n in range(first, POSTS, AT_ONCE)]

        # Each kind at least once where it hurts most; the rest by chance.
        proxy.plan("SendMessageBatch", *Fault)
        proxy.plan("BatchExecuteStatement", *Fault)
        ids = [one for some in await asyncio.gather(*(post_in_turn(n) for n in range(AT_ONCE))) for one in some]
        statuses = await asyncio.gather(*(producer.retrieve_result_status(one) for one in ids))
    assert all(proxy.faults[fault] >= 2 for fault in Fault)
    assert len(set(ids)) == POSTS
    assert statuses == [ResultStatus.SUBMITTED] * POSTS
    assert sorted(message.message_id for message in await drain(deployment.queues, url)) == sorted(ids)


async def test_same_dedup_key_under_lost_answers_is_one_message(
    deployment: Deployment, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Connected before the proxy comes in between: what is on the queue is looked at without faults.
    url = await deployment.queues.of_label(LABEL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    async with AsyncProducer(deployment.settings) as producer:
        proxy.plan("SendMessageBatch", Fault.LOST_RESPONSE, Fault.LOST_RESPONSE, None, Fault.LOST_RESPONSE)
        first = await producer.post_non_blocking(1, LABEL, dedup_key="order 17")
        second = await producer.post_non_blocking(1, LABEL, dedup_key="order 17")
    assert first == second
    assert [message.message_id for message in await drain(deployment.queues, url)] == [first]
