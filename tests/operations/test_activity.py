"""The labels that have work are found, whoever forgot them; and what the backlog function makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import boto3
import pytest

from inference_engine import AsyncConsumer
from inference_engine.aws.queues import Backlog, OutgoingMessage
from inference_engine.deployment import Aws
from inference_engine.errors import TransportError
from inference_engine.fleet.view import ConsumerView, LabelSettings, LabelStatistics
from inference_engine.jobs.job import Job
from inference_engine.operations.activity import read_activity
from inference_engine.operations.backlog import LabelWork
from inference_engine.settings import Settings
from lambdas.backlog_metrics.handler import BacklogMetrics, BacklogSettings
from tests.support.waiting import HANG_SECONDS

HASHED = "models/résumé v2"


async def send(aws: Aws, label: str, *, ring: bool = True) -> None:
    """A job on its queue, as a producer sends it, or as one that died before it rang."""
    url = await aws.queues.of_label(label)
    job = Job(label=label, request_id="r", body="1", submitted_at=0.0)
    await aws.queues.send(url, OutgoingMessage(job.encode(), "group", f"{label}-{id(job)}"))
    if ring:
        await aws.load_requests.ring(label)


async def work_of(aws: Aws, *, sweep_queues: int = 100) -> dict[str, LabelWork]:
    activity = await read_activity(aws, sweep_queues=sweep_queues)
    return {work.label: work for work in activity.labels}


@pytest.fixture
async def busy_consumer(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """A consumer of `held` that computes one job until the event is set."""
    go, here = asyncio.Event(), asyncio.Event()

    async def compute(body: object, message_id: str) -> object:
        here.set()
        await go.wait()
        return body

    async with AsyncConsumer(settings, compute_result=compute) as consumer:
        aws = Aws.for_consumer(settings)
        await send(aws, "held")
        await asyncio.wait_for(here.wait(), HANG_SECONDS)
        await consumer._membership.publish()
        await aws.close()
        yield go
        go.set()


async def test_a_label_that_was_rung_for(aws: Aws) -> None:
    await aws.registry.set_label(LabelSettings(label="resnet50", lanes=3))
    await send(aws, "resnet50")
    found = (await work_of(aws, sweep_queues=0))["resnet50"]
    assert (found.visible, found.in_flight, found.lanes, found.hosts) == (1, 0, 3, 0)
    assert found.unserved
    assert found.oldest_at == (await aws.waiting.all())[0].since


async def test_a_label_in_work(aws: Aws, busy_consumer: asyncio.Event) -> None:
    await send(aws, "held")
    found = (await work_of(aws, sweep_queues=0))["held"]
    assert (found.visible, found.in_flight, found.hosts, found.loaded) == (1, 1, 1, True)
    assert found.load_seconds is not None
    assert found.task_seconds is None
    assert found.oldest_at is not None


@pytest.mark.parametrize("label", ["plain", HASHED])
async def test_a_label_that_nobody_rang_for(aws: Aws, label: str) -> None:
    await send(aws, label, ring=False)
    assert await work_of(aws, sweep_queues=0) == {}
    found = (await work_of(aws))[label]
    assert found.unserved
    assert found.visible == 1


async def test_a_forgotten_label_is_known_once_it_was_rung_for(aws: Aws) -> None:
    """Looking into a queue counts as a receive: it is done once."""
    await send(aws, HASHED, ring=False)
    [label] = (await read_activity(aws, sweep_queues=100)).to_ring()
    await aws.load_requests.ring(label)
    again = await read_activity(aws, sweep_queues=100)
    assert [work.label for work in again.labels if work.unserved] == [HASHED]
    [message] = await aws.queues.receive(await aws.queues.of_label(HASHED), wait_seconds=1, visibility_seconds=30)
    assert message.receive_count == 2


async def test_all_queues_are_looked_at_in_turn(aws: Aws) -> None:
    labels = {f"label-{number}" for number in range(5)}
    await asyncio.gather(*(send(aws, label, ring=False) for label in labels))
    seen: set[str] = set()
    for _ in range(10):  # four of the nine queues are no labels'
        seen |= set(await work_of(aws, sweep_queues=1))
    assert seen == labels


async def test_a_search_whose_place_sqs_forgot_begins_anew(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    await send(aws, "plain", ring=False)
    await aws.waiting.move_cursor("no such page")
    listed = aws.queues.listed

    async def refuses_old_tokens(begin: str, most: int, token: str | None) -> tuple[list[str], str | None]:
        if token is not None:
            raise TransportError("NextToken is not valid")
        return await listed(begin, most, token)

    monkeypatch.setattr(aws.queues, "listed", refuses_old_tokens)
    assert "plain" in await work_of(aws)
    assert await aws.waiting.cursor() is None


async def test_a_label_whose_queue_is_gone_has_no_work(aws: Aws) -> None:
    await aws.load_requests.ring("never-posted")
    activity = await read_activity(aws, sweep_queues=0)
    assert [work.jobs for work in activity.labels] == [0]
    assert [row.label for row in activity.served()] == ["never-posted"]


async def test_a_queue_of_a_deployment_whose_prefix_begins_with_ours_is_not_ours(aws: Aws) -> None:
    neighbour = aws.settings.model_copy(update={"prefix": f"{aws.settings.prefix}-eu"})
    other = Aws.for_consumer(neighbour)
    await send(other, "plain", ring=False)
    await other.close()
    assert await work_of(aws) == {}


async def test_a_message_is_not_believed_about_the_queue_of_another_label(aws: Aws) -> None:
    await send(aws, "plain", ring=False)
    url = await aws.queues.of_label(HASHED)
    for label in ("plain", "x" * 300):
        body = Job(label=label, request_id="r", body="1", submitted_at=0.0).encode()
        await aws.queues.send(url, OutgoingMessage(body, "group", f"forged-{len(label)}"))
    assert [work.visible for work in (await work_of(aws)).values()] == [1]


async def test_one_queue_that_does_not_answer_hides_no_other(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(send(aws, "fine"), send(aws, "throttled"))
    backlog, throttled = aws.queues.backlog, await aws.queues.of_label("throttled")

    async def refuses_one(url: str) -> Backlog:
        if url == throttled:
            raise TransportError("too many requests")
        return await backlog(url)

    monkeypatch.setattr(aws.queues, "backlog", refuses_one)
    activity = await read_activity(aws, sweep_queues=0)
    assert [work.label for work in activity.labels] == ["fine"]
    assert activity.served() == []


async def test_jobs_of_consumers_that_died_are_seen(aws: Aws) -> None:
    await send(aws, "orphaned", ring=False)
    dead = ConsumerView(consumer_id="dead", lease_until=1.0, loaded={"orphaned": LabelStatistics()})
    await aws.registry.publish(dead)
    found = (await work_of(aws, sweep_queues=0))["orphaned"]
    assert (found.visible, found.hosts, found.unserved) == (1, 0, True)


async def test_a_row_stays_while_jobs_are_in_flight_and_nobody_holds_the_label(aws: Aws) -> None:
    await send(aws, "resnet50")
    await aws.queues.receive(await aws.queues.of_label("resnet50"), wait_seconds=1, visibility_seconds=30)
    activity = await read_activity(aws, sweep_queues=0)
    assert [work.in_flight for work in activity.labels] == [1]
    assert activity.served() == []


async def test_who_waits_is_rung_for_before_the_last_request_expires(aws: Aws) -> None:
    await send(aws, "resnet50")
    activity = await read_activity(aws, sweep_queues=0)
    [row] = activity.waiting
    days_ago = replace(row, since=row.rung_at - 3 * 24 * 3600)
    assert replace(activity, waiting=(days_ago,), at=row.rung_at + 1800).to_ring() == ["resnet50"]


async def test_what_is_measured_is_published_though_a_ring_is_refused(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await send(aws, "forgotten", ring=False)

    async def refuses(label: str) -> None:
        raise TransportError("no")

    monkeypatch.setattr(aws.load_requests, "ring", refuses)
    measures = await BacklogMetrics(aws, BacklogSettings()).run()
    assert measures["unserved_labels"] == 1
    assert "unservedlabels" in published(aws)
    assert "load request not sent" in caplog.text


async def test_who_waits_is_rung_for_more_and_more_rarely(aws: Aws) -> None:
    await send(aws, "resnet50")
    activity = await read_activity(aws, sweep_queues=0)
    [row] = activity.waiting
    assert activity.to_ring() == []
    assert replace(activity, at=row.rung_at + 60).to_ring() == ["resnet50"]
    long_ago = replace(row, since=row.rung_at - 3600)
    assert replace(activity, waiting=(long_ago,), at=row.rung_at + 60).to_ring() == []
    assert replace(activity, waiting=(long_ago,), at=row.rung_at + 1000).to_ring() == ["resnet50"]


async def test_the_function_publishes_rings_and_logs(
    aws: Aws, busy_consumer: asyncio.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    await send(aws, "forgotten", ring=False)
    await send(aws, "held")
    measures = await BacklogMetrics(aws, BacklogSettings(target_seconds=30)).run()
    assert measures["active_labels"] == 2
    assert measures["unserved_labels"] == 1
    assert measures["running_tasks"] == 1
    assert measures["jobs_visible"] == 2
    assert measures["jobs_in_flight"] == 1
    assert measures["requires_consumer"] == 0
    assert measures["backlog_seconds_per_task"] > 0
    assert "forgotten" in {row.label for row in await aws.waiting.all()}
    assert published(aws) == {name.replace("_", "") for name in measures}
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {one["label"] for one in record["labels"]} == {"held", "forgotten"}
    assert all(one["busy"] == 0 for one in record["labels"])
    assert record["active_labels"] == 2


async def test_the_function_publishes_zeros_when_nothing_is_there(aws: Aws) -> None:
    measures = await BacklogMetrics(aws, BacklogSettings()).run()
    assert set(measures.values()) == {0}
    assert published(aws) == {name.replace("_", "") for name in measures}


def published(aws: Aws) -> set[str]:
    """Names of the deployment's metrics in CloudWatch, in lower case."""
    cloudwatch = boto3.client("cloudwatch")
    dimensions = [{"Name": "Deployment", "Value": aws.settings.prefix}]
    found = cloudwatch.list_metrics(Namespace="InferenceEngine", Dimensions=dimensions)["Metrics"]
    return {metric["MetricName"].lower() for metric in found}
