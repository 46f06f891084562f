"""Queues: made on first use, shared calls, order, deduplication, visibility."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from inference_engine.aws.provision import provision
from inference_engine.aws.queues import OutgoingMessage, Queues
from inference_engine.deployment import Deployment
from inference_engine.errors import NotProvisionedError, TransportError, UnknownLabelError
from inference_engine.labels import queue_name
from tests.support.queues import drain


async def test_queue_of_a_label_is_made_once(deployment: Deployment) -> None:
    urls = await asyncio.gather(*(deployment.queues.of_label("resnet50") for _ in range(20)))
    assert len(set(urls)) == 1
    assert await deployment.polls.named(queue_name(deployment.settings.prefix, "resnet50")) == urls[0]


async def test_queue_is_what_the_schema_says(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    answer = await deployment.transport.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
    attributes = answer["Attributes"]
    assert attributes["FifoQueue"] == "true"
    assert attributes["DeduplicationScope"] == "messageGroup"
    assert attributes["VisibilityTimeout"] == "30"
    assert "dead-letters" in attributes["RedrivePolicy"]


async def test_label_without_queue(deployment: Deployment) -> None:
    with pytest.raises(UnknownLabelError, match="auto_create_queues"):
        await deployment.queues.of_label("nobody", create=False)
    assert await deployment.queues.of_label("nobody", create=True), "a failed look-up is not remembered"
    with pytest.raises(NotProvisionedError, match="nowhere"):
        await deployment.queues.named("nowhere.fifo")


async def test_who_would_not_make_a_queue_does_not_fail_who_would(deployment: Deployment) -> None:
    outcomes = await asyncio.gather(
        *(deployment.queues.of_label("new", create=create) for create in (False, True, False)), return_exceptions=True
    )
    assert isinstance(outcomes[1], str)


async def test_nothing_is_kept_of_a_failed_look_up(deployment: Deployment) -> None:
    with pytest.raises(UnknownLabelError) as unknown:
        await deployment.queues.of_label("nobody", create=False)
    failure = weakref.ref(unknown.value.__cause__)
    del unknown
    # The loop's own turn holds it still.
    await asyncio.sleep(0)
    gc.collect()
    assert failure() is None


async def test_messages_arrive_in_order_under_ids_of_their_own(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    bodies = [str(index) for index in range(57)]
    ids = await asyncio.gather(*(deployment.queues.send(url, OutgoingMessage(body, "g", body)) for body in bodies))
    messages = await drain(deployment.polls, url)
    assert [message.body for message in messages] == bodies
    assert [message.message_id for message in messages] == ids
    assert {(message.group, message.receive_count) for message in messages} == {("g", 1)}
    assert (await deployment.queues.backlog(url)).total == 0


async def test_second_message_of_one_deduplication_id_is_dropped(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    message = OutgoingMessage("x", "g", "same")
    first, second = await asyncio.gather(deployment.queues.send(url, message), deployment.queues.send(url, message))
    assert first == second == await deployment.queues.send(url, message)
    assert len(await drain(deployment.queues, url)) == 1


async def test_visibility_can_be_given_back_and_refusals_are_told(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    await deployment.queues.send(url, OutgoingMessage("x", "g", "d"))
    [message] = await deployment.polls.receive(url, wait_seconds=1, visibility_seconds=30)
    assert await deployment.polls.receive(url, wait_seconds=0, visibility_seconds=30) == []
    backlog = await deployment.queues.backlog(url)
    assert (backlog.visible, backlog.in_flight, backlog.total) == (0, 1, 1)
    refused = await deployment.queues.change_visibility(url, [message.receipt_handle, "no such handle"], 0)
    assert message.receipt_handle not in refused
    [again] = await deployment.polls.receive(url, wait_seconds=1, visibility_seconds=30)
    assert (again.message_id, again.receive_count) == (message.message_id, 2)


async def test_refused_send_names_the_queue(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    await deployment.transport.call("sqs", "delete_queue", QueueUrl=url)
    with pytest.raises(TransportError, match="resnet50"):
        await deployment.queues.send(url, OutgoingMessage("x", "g", "d"))


async def test_provisioning_again_changes_nothing(deployment: Deployment) -> None:
    await provision(deployment.transport, deployment.settings)
    await provision(deployment.transport, deployment.settings.model_copy(update={"visibility_timeout_seconds": 77}))
    queues = Queues(deployment.transport, deployment.settings)
    url = await queues.named(f"{deployment.settings.prefix}-placement.fifo")
    answer = await deployment.transport.call(
        "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["VisibilityTimeout"]
    )
    assert answer["Attributes"]["VisibilityTimeout"] == "30"
