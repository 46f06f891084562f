"""Messages that nobody finishes, on their way to the dead-letter queue."""

from __future__ import annotations

import asyncio

from inference_engine.deployment import Deployment


async def receive_until_dead(deployment: Deployment, label: str) -> None:
    """What consumers do that die over every job of a label; its queue is empty afterwards."""
    url = await deployment.queues.of_label(label)
    while messages := await deployment.queues.receive(url, wait_seconds=0, visibility_seconds=30):
        assert {message.receive_count for message in messages} <= set(
            range(1, deployment.settings.max_receive_count + 1)
        )
        await deployment.queues.change_visibility(url, [message.receipt_handle for message in messages], 0)


async def until_left(deployment: Deployment, label: str, count: int, seconds: float = 30) -> None:
    """Wait until so many messages are on the queue of a label, those in flight included."""
    url = await deployment.queues.of_label(label)
    async with asyncio.timeout(seconds):
        while (await deployment.queues.backlog(url)).total != count:  # noqa: ASYNC110 - SQS has no event for it
            await asyncio.sleep(0.02)
