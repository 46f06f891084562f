"""Looking into queues."""

from __future__ import annotations

from inference_engine.aws.queues import Queues, ReceivedMessage


async def drain(queues: Queues, url: str) -> list[ReceivedMessage]:
    """Every message of a queue, in the order of receipt; the queue is empty afterwards."""
    messages: list[ReceivedMessage] = []
    while batch := await queues.receive(url, wait_seconds=0, visibility_seconds=30):
        messages += batch
        for message in batch:
            await queues.delete(url, [message.receipt_handle])
    return messages
