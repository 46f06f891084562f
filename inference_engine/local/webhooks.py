"""Webhooks of the local stack: does on a thread of this process what the Lambda function does on AWS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from ..aio.background import BackgroundLoop
from ..aio.tasks import TaskSet
from ..aws.streams import TableStream
from ..deployment import Deployment
from ..errors import TransportError
from ..settings import Settings, WebhookSettings
from ..webhooks.delivery import Courier
from ..webhooks.outbox import Outbox
from ..webhooks.queue import WebhookQueue
from ..webhooks.secret import Secret

log = logging.getLogger(__name__)

#: Waits between two reads of the stream: short while something changes, long while nothing does.
STREAM_MIN_SECONDS = 0.1
STREAM_MAX_SECONDS = 1.0
#: Wait after an error of the emulator, which may be about to stop.
ERROR_WAIT_SECONDS = 2.0
#: Length of a poll of the queue: the emulator ends only when its last poll has returned.
POLL_SECONDS = 1


class LocalWebhooks:
    """Follows the stream of the jobs table and delivers its status changes, between `start` and `stop`."""

    def __init__(self, settings: Settings, webhooks: WebhookSettings) -> None:
        self._settings = settings
        self._webhooks = webhooks
        self._loop: BackgroundLoop | None = None
        self._tasks: TaskSet[None] = TaskSet()
        self._courier: Courier | None = None
        self._deployment: Deployment | None = None

    def start(self) -> None:
        """Start; from its return on no change is missed. Raises TransportError where AWS or the emulator refuses."""
        self._loop = BackgroundLoop("inference-engine-webhooks")
        try:
            self._loop.call(self._start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop; undelivered messages stay on their queue. No error where it is not running."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call(self._stop())
            loop.close()

    async def _start(self) -> None:
        self._deployment = Deployment.for_consumer(self._settings)
        stream = TableStream(self._deployment.transport, self._settings.jobs_table)
        await stream.open()
        queue = WebhookQueue(self._deployment.transport, self._deployment.queues, self._settings.prefix)
        self._courier = Courier(queue, Secret(self._deployment.transport, self._webhooks), self._webhooks)
        self._tasks.start(_enqueue(stream, Outbox(queue)))
        self._tasks.start(_deliver(queue, self._courier))

    async def _stop(self) -> None:
        await self._tasks.close()
        if self._courier is not None:
            self._courier.close()
        if self._deployment is not None:
            await self._deployment.close()


async def _enqueue(stream: TableStream, outbox: Outbox) -> None:
    wait = STREAM_MIN_SECONDS
    while True:
        records: list[dict[str, Any]] = []
        async with _aws_may_fail():
            records = await stream.read()
        while records and (failed := await outbox.put(records)):
            await asyncio.sleep(ERROR_WAIT_SECONDS)
            records = records[records.index(failed) :]  # type: ignore[arg-type]
        wait = STREAM_MIN_SECONDS if records else min(wait * 2, STREAM_MAX_SECONDS)
        await asyncio.sleep(wait)


async def _deliver(queue: WebhookQueue, courier: Courier) -> None:
    while True:
        async with _aws_may_fail():
            messages = await queue.receive(POLL_SECONDS)
            outcome = await courier.deliver(messages)
            await queue.delete(outcome.done)


@contextlib.asynccontextmanager
async def _aws_may_fail() -> Any:
    """Continue after an error of the emulator, after a wait."""
    try:
        yield
    except TransportError as error:
        log.warning("webhooks pause after an error: %s", error)
        await asyncio.sleep(ERROR_WAIT_SECONDS)
