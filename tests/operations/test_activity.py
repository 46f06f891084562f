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
from inference_engine.consumer.assignment import PlacedLabels
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.fleet.view import ConsumerView, LabelSettings, LabelStatistics
from inference_engine.jobs.job import Job
from inference_engine.operations.activity import read_activity
from inference_engine.operations.backlog import LabelWork
from inference_engine.settings import Settings
from lambdas.backlog_metrics.handler import BacklogMetrics, BacklogSettings
from tests.support.waiting import HANG_SECONDS

HASHED = "models/résumé v2"


async def send(deployment: Deployment, label: str, *, requested: bool = True) -> None:
    """A job on its queue and a load request; without the request, as of a producer that died between the two."""
    url = await deployment.queues.of_label(label)
    job = Job(label=label, request_id="r", body="1", submitted_at=0.0)
    await deployment.queues.send(url, OutgoingMessage(job.encode(), "group", f"{label}-{id(job)}"))
    if requested:
        await deployment.load_requests.send(label)


async def work_of(deployment: Deployment, *, sweep_queues: int = 100) -> dict[str, LabelWork]:
    activity = await read_activity(deployment, sweep_queues=sweep_queues)
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
        deployment = Deployment.for_consumer(settings)
        await send(deployment, "held")
        await asyncio.wait_for(here.wait(), HANG_SECONDS)
        assert isinstance(consumer._assignment, PlacedLabels)
        await consumer._assignment._membership.publish()
        await deployment.close()
        yield go
        go.set()


async def test_a_label_that_was_requested(deployment: Deployment) -> None:
    await deployment.registry.set_label(LabelSettings(label="resnet50", lanes=3))
    await send(deployment, "resnet50")
    found = (await work_of(deployment, sweep_queues=0))["resnet50"]
    assert (found.visible, found.in_flight, found.lanes, found.holders) == (1, 0, 3, 0)
    assert found.unserved
    assert found.oldest_at == (await deployment.waiting.all())[0].since


async def test_a_label_in_work(deployment: Deployment, busy_consumer: asyncio.Event) -> None:
    await send(deployment, "held")
    found = (await work_of(deployment, sweep_queues=0))["held"]
    assert (found.visible, found.in_flight, found.holders, found.loaded) == (1, 1, 1, True)
    assert found.load_seconds is not None
    assert found.task_seconds is None
    assert found.oldest_at is not None


@pytest.mark.parametrize("label", ["plain", HASHED])
async def test_a_label_that_nobody_requested(deployment: Deployment, label: str) -> None:
    await send(deployment, label, requested=False)
    assert await work_of(deployment, sweep_queues=0) == {}
    found = (await work_of(deployment))[label]
    assert found.unserved
    assert found.visible == 1


async def test_a_forgotten_label_is_known_once_it_was_requested(deployment: Deployment) -> None:
    """Looking into a queue counts as a receive: it is done once."""
    await send(deployment, HASHED, requested=False)
    [label] = (await read_activity(deployment, sweep_queues=100)).to_request()
    await deployment.load_requests.send(label)
    again = await read_activity(deployment, sweep_queues=100)
    assert [work.label for work in again.labels if work.unserved] == [HASHED]
    [message] = await deployment.queues.receive(
        await deployment.queues.of_label(HASHED), wait_seconds=1, visibility_seconds=30
    )
    assert message.receive_count == 2


async def test_all_queues_are_looked_at_in_turn(deployment: Deployment) -> None:
    labels = {f"label-{number}" for number in range(5)}
    await asyncio.gather(*(send(deployment, label, requested=False) for label in labels))
    seen: set[str] = set()
    for _ in range(10):  # four of the nine queues are no labels'
        seen |= set(await work_of(deployment, sweep_queues=1))
    assert seen == labels


async def test_a_search_whose_place_sqs_forgot_begins_anew(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(deployment, "plain", requested=False)
    await deployment.waiting.move_cursor("no such page")
    listed = deployment.queues.listed

    async def refuses_old_tokens(begin: str, most: int, token: str | None) -> tuple[list[str], str | None]:
        if token is not None:
            raise TransportError("NextToken is not valid")
        return await listed(begin, most, token)

    monkeypatch.setattr(deployment.queues, "listed", refuses_old_tokens)
    assert "plain" in await work_of(deployment)
    assert await deployment.waiting.cursor() is None


async def test_a_label_whose_queue_is_gone_has_no_work(deployment: Deployment) -> None:
    await deployment.load_requests.send("never-posted")
    activity = await read_activity(deployment, sweep_queues=0)
    assert [work.jobs for work in activity.labels] == [0]
    assert [row.label for row in activity.served()] == ["never-posted"]


async def test_a_queue_of_a_deployment_whose_prefix_begins_with_ours_is_not_ours(deployment: Deployment) -> None:
    neighbour = deployment.settings.model_copy(update={"prefix": f"{deployment.settings.prefix}-eu"})
    other = Deployment.for_consumer(neighbour)
    await send(other, "plain", requested=False)
    await other.close()
    assert await work_of(deployment) == {}


async def test_a_message_is_not_believed_about_the_queue_of_another_label(deployment: Deployment) -> None:
    await send(deployment, "plain", requested=False)
    url = await deployment.queues.of_label(HASHED)
    for label in ("plain", "x" * 300):
        body = Job(label=label, request_id="r", body="1", submitted_at=0.0).encode()
        await deployment.queues.send(url, OutgoingMessage(body, "group", f"forged-{len(label)}"))
    assert [work.visible for work in (await work_of(deployment)).values()] == [1]


async def test_one_queue_that_does_not_answer_hides_no_other(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(send(deployment, "fine"), send(deployment, "throttled"))
    backlog, throttled = deployment.queues.backlog, await deployment.queues.of_label("throttled")

    async def refuses_one(url: str) -> Backlog:
        if url == throttled:
            raise TransportError("too many requests")
        return await backlog(url)

    monkeypatch.setattr(deployment.queues, "backlog", refuses_one)
    activity = await read_activity(deployment, sweep_queues=0)
    assert [work.label for work in activity.labels] == ["fine"]
    assert activity.served() == []


async def test_jobs_of_consumers_that_died_are_seen(deployment: Deployment) -> None:
    await send(deployment, "orphaned", requested=False)
    dead = ConsumerView(consumer_id="dead", lease_until=1.0, loaded={"orphaned": LabelStatistics()})
    await deployment.registry.publish(dead)
    found = (await work_of(deployment, sweep_queues=0))["orphaned"]
    assert (found.visible, found.holders, found.unserved) == (1, 0, True)


async def test_a_row_stays_while_jobs_are_in_flight_and_nobody_holds_the_label(deployment: Deployment) -> None:
    await send(deployment, "resnet50")
    await deployment.queues.receive(await deployment.queues.of_label("resnet50"), wait_seconds=1, visibility_seconds=30)
    activity = await read_activity(deployment, sweep_queues=0)
    assert [work.in_flight for work in activity.labels] == [1]
    assert activity.served() == []


async def test_a_waiting_label_is_requested_again_before_the_last_request_expires(deployment: Deployment) -> None:
    await send(deployment, "resnet50")
    activity = await read_activity(deployment, sweep_queues=0)
    [row] = activity.waiting
    days_ago = replace(row, since=row.requested_at - 3 * 24 * 3600)
    assert replace(activity, waiting=(days_ago,), at=row.requested_at + 1800).to_request() == ["resnet50"]


async def test_what_is_measured_is_published_though_a_load_request_is_refused(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await send(deployment, "forgotten", requested=False)

    async def refuses(label: str) -> None:
        raise TransportError("no")

    monkeypatch.setattr(deployment.load_requests, "send", refuses)
    measures = await BacklogMetrics(deployment, BacklogSettings()).run()
    assert measures["unserved_labels"] == 1
    assert "unservedlabels" in published(deployment)
    assert "load request not sent" in caplog.text


async def test_a_waiting_label_is_requested_more_and_more_rarely(deployment: Deployment) -> None:
    await send(deployment, "resnet50")
    activity = await read_activity(deployment, sweep_queues=0)
    [row] = activity.waiting
    assert activity.to_request() == []
    assert replace(activity, at=row.requested_at + 60).to_request() == ["resnet50"]
    long_ago = replace(row, since=row.requested_at - 3600)
    assert replace(activity, waiting=(long_ago,), at=row.requested_at + 60).to_request() == []
    assert replace(activity, waiting=(long_ago,), at=row.requested_at + 1000).to_request() == ["resnet50"]


async def test_the_function_publishes_requests_and_logs(
    deployment: Deployment, busy_consumer: asyncio.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    await send(deployment, "forgotten", requested=False)
    await send(deployment, "held")
    measures = await BacklogMetrics(deployment, BacklogSettings(target_seconds=30)).run()
    assert measures["active_labels"] == 2
    assert measures["unserved_labels"] == 1
    assert measures["running_tasks"] == 1
    assert measures["jobs_visible"] == 2
    assert measures["jobs_in_flight"] == 1
    assert measures["requires_consumer"] == 0
    assert measures["backlog_seconds_per_task"] > 0
    assert "forgotten" in {row.label for row in await deployment.waiting.all()}
    assert published(deployment) == {name.replace("_", "") for name in measures}
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {one["label"] for one in record["labels"]} == {"held", "forgotten"}
    assert all(one["busy"] == 0 for one in record["labels"])
    assert record["active_labels"] == 2


async def test_the_function_publishes_zeros_when_nothing_is_there(deployment: Deployment) -> None:
    measures = await BacklogMetrics(deployment, BacklogSettings()).run()
    assert set(measures.values()) == {0}
    assert published(deployment) == {name.replace("_", "") for name in measures}


def published(deployment: Deployment) -> set[str]:
    """Names of the deployment's metrics in CloudWatch, in lower case."""
    cloudwatch = boto3.client("cloudwatch")
    dimensions = [{"Name": "Deployment", "Value": deployment.settings.prefix}]
    found = cloudwatch.list_metrics(Namespace="InferenceEngine", Dimensions=dimensions)["Metrics"]
    return {metric["MetricName"].lower() for metric in found}
