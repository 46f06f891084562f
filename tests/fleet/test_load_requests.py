"""Load requests: one for many posts, taken in the label's own cell, handed back; what is none is dropped."""

from __future__ import annotations

import asyncio

import pytest

from inference_engine.aws.queues import OutgoingMessage
from inference_engine.deployment import Deployment
from inference_engine.fleet.load_requests import LoadRequests
from inference_engine.labels import placement_queue_name


async def test_send_take_done(deployment: Deployment) -> None:
    await deployment.load_requests.send("resnet50", holders=2)
    [request] = await deployment.load_polls.take(1, 10)
    assert (request.label, request.holders, request.receive_count) == ("resnet50", 2, 1)
    assert request.requested_at > 0
    await deployment.load_requests.done(request)
    assert await deployment.load_requests.waiting() == 0


async def test_a_storm_of_posts_is_few_requests(deployment: Deployment) -> None:
    await asyncio.gather(*(deployment.load_requests.send("resnet50") for _ in range(100)))
    # Two, when a window ends in between.
    assert await deployment.load_requests.waiting() <= 2


async def test_a_request_that_must_not_be_swallowed(deployment: Deployment) -> None:
    for _ in range(3):
        await deployment.load_requests.send("resnet50", always=True)
    assert await deployment.load_requests.waiting() == 3


async def test_no_more_are_taken_than_asked_for(deployment: Deployment) -> None:
    await asyncio.gather(*(deployment.load_requests.send(f"label-{index}") for index in range(5)))
    assert len(await deployment.load_polls.take(1, 2)) == 2
    assert len(await deployment.load_polls.take(1, 10)) == 3


async def test_request_that_is_handed_back_comes_again(deployment: Deployment) -> None:
    await deployment.load_requests.send("resnet50")
    [request] = await deployment.load_polls.take(1, 10)
    assert await deployment.load_polls.take(0, 10) == []
    await deployment.load_requests.hand_back(request)
    [again] = await deployment.load_polls.take(1, 10)
    assert (again.label, again.requested_at, again.receive_count) == (request.label, request.requested_at, 2)


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"label": "x"}', '{"label": "x", "hosts": "many"}'])
async def test_what_is_no_request_is_dropped_and_its_neighbours_are_not(deployment: Deployment, body: str) -> None:
    url = await deployment.queues.named(placement_queue_name(deployment.settings.prefix, 0, 1))
    await deployment.queues.send(url, OutgoingMessage(body or " ", "other", "other"))
    await deployment.load_requests.send("resnet50")
    requests = await deployment.load_polls.take(1, 10) or await deployment.load_polls.take(1, 10)
    assert [request.label for request in requests] == ["resnet50"]
    await deployment.load_requests.done(requests[0])
    assert (await deployment.queues.backlog(url)).total == 0


async def test_each_cell_takes_its_own_labels(deployment: Deployment) -> None:
    for cell in (0, 1):
        attributes = {"FifoQueue": "true"}
        name = placement_queue_name(deployment.settings.prefix, cell, 2)
        await deployment.transport.call("sqs", "create_queue", QueueName=name, Attributes=attributes)
    cells = [
        LoadRequests(
            deployment.queues, deployment.waiting, deployment.settings.model_copy(update={"cells": 2, "cell": cell})
        )
        for cell in (0, 1)
    ]
    labels = {f"label-{index}" for index in range(8)}
    for label in labels:
        await cells[0].send(label)
    taken = [{request.label for request in await cell.take(1, 10)} for cell in cells]
    assert taken[0] | taken[1] == labels
    assert not taken[0] & taken[1]
