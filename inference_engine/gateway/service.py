"""The operations behind every API: run and wait; submit and poll; and what is known of the deployment."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

from .. import payloads
from ..aws.connect import Aws
from ..aws.job_record import JobRecord
from ..errors import TransportError
from ..fleet import Fleet, ModelSignature
from ..job import Response
from ..labels import check_label
from ..overview import Overview
from ..producer import AsyncProducer
from ..producer.results import response_of
from ..shared_read import SharedRead
from .accepted import Accepted
from .capacity import IDLE_READ_SECONDS, Capacity
from .context import Context
from .flow import Outcome
from .glance import COUNTED_SECONDS, Glance
from .problems import later, unknown_job
from .settings import GatewaySettings
from .stats import BandStats, FlowStats, GatewayStats
from .waiters import Waiters

#: After a failed reading the next one comes this soon.
FAILED_READ_SECONDS = 2.0
#: A gateway listens after so long even where AWS does not answer: it says then that it is not ready.
FIRST_READ_SECONDS = 5.0
#: Who asks for the fleet itself waits so long for a new reading, and gets the last one then.
FLEET_PATIENCE_SECONDS = 2.0
#: A model that was loaded for the first time is listed so much later, at most, when nobody holds it any more.
SIGNATURES_SECONDS = 30.0
PAUSED_RETRY_SECONDS = 10.0
CLOSE_SECONDS = 5.0


class Service:
    """Posts jobs for callers. Everything here raises Problem or InferenceEngineError; use it with `async with`."""

    def __init__(self, aws: Aws, settings: GatewaySettings) -> None:
        self.settings = settings
        self._aws = aws
        self._producer = AsyncProducer(aws.settings, _connect=lambda _: aws)
        self._capacity = Capacity(aws, settings)
        self._waiters = Waiters(self._producer, self._capacity, settings)
        self._accepted = Accepted(aws, settings.max_queue_size)
        self._glance = Glance(aws)
        self._signatures = SharedRead(aws.registry.signatures)
        self._tasks: list[asyncio.Task[None]] = []
        self._posting: set[asyncio.Task[str]] = set()
        self._stopping = False

    async def __aenter__(self) -> Self:
        with contextlib.suppress(TransportError, TimeoutError):
            async with asyncio.timeout(FIRST_READ_SECONDS):
                await self._capacity.fresh(0)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._waiters.flow.run()), loop.create_task(self._keep_reading())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()
        await self._waiters.close()
        under_way = [*self._tasks, *self._posting]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        readers = (self._capacity, self._accepted, self._glance, self._signatures)
        await asyncio.gather(*(reader.close() for reader in readers))
        # What is on its way to AWS is let go, but a process that is to end cannot wait for an AWS that does not answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._producer.close()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def run(self, label: str, body: Any, context: Context) -> Response:
        """Run a job for a caller who waits: see Waiters.run. Returns only a success."""
        self._check(label, context)
        return await self._waiters.run(label, body, context)

    async def submit(
        self,
        label: str,
        body: Any,
        context: Context,
        *,
        callback_url: str | None = None,
        keep_body: bool = False,
        dedup_key: str | None = None,
    ) -> str:
        """The message id of a job that goes on whatever becomes of this gateway and its caller.

        A `dedup_key` seen within the last five minutes makes no second job: the first one's message id comes back.
        Raises Problem 429 where the label's queue is full, 503 while paused or shutting down.
        """
        self._check(label, context)
        if self._stopping:
            raise later(503, Outcome.SHUTTING_DOWN, "the gateway is shutting down", 1)
        if self.paused:
            raise later(503, "paused", "an operator has paused this gateway", PAUSED_RETRY_SECONDS)
        post = functools.partial(
            self._producer.post_non_blocking,
            body,
            label,
            request_id=context.request_id,
            callback_url=callback_url,
            keep_body=keep_body,
            dedup_key=dedup_key,
        )
        context.share.posting()
        posting = asyncio.get_running_loop().create_task(self._post(label, post, context))
        self._posting.add(posting)
        posting.add_done_callback(self._posted)
        # Not awaited itself, or a caller who leaves would leave half a job.
        await asyncio.wait([posting])
        if posting.cancelled():
            raise later(503, Outcome.SHUTTING_DOWN, "the gateway shut down before the job was on its queue", 1)
        return posting.result()

    async def result(self, message_id: str, context: Context) -> Response:
        """A job as it stands. Problem 404 where there is none that the caller may see."""
        return await response_of(self._aws, await self._record(message_id, context))

    async def result_and_inputs(self, message_id: str, context: Context) -> tuple[Response, Any]:
        """The same, and what the job was posted with, where that was to be kept; else None."""
        record = await self._record(message_id, context)
        if record.body is None and record.body_ref is None:
            return await response_of(self._aws, record), None
        return await asyncio.gather(
            response_of(self._aws, record), payloads.unpack(self._aws.blobs, record.body, record.body_ref)
        )

    async def cancel(self, message_id: str, context: Context) -> bool:
        """End a job that has not ended; False when it had. Problem 404 as above."""
        await self._record(message_id, context)
        return await self._aws.jobs.cancel(message_id)

    async def queue_size(self, label: str | None, context: Context) -> int:
        """Jobs that have not ended, of one label or of all that the caller may use."""
        if label is not None:
            self._check(label, context)
            return await self._accepted.backlog(label)
        overview = await self._glance.overview(COUNTED_SECONDS)
        return sum(row.visible + row.in_flight for row in overview.labels if context.caller.allows(row.label))

    async def unfinished(self, context: Context) -> list[str]:
        """Message ids of jobs that were submitted through this gateway and have not ended, as far as is known."""
        return await self._accepted.unfinished(context.caller.allows)

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def deployment(self) -> str:
        """The prefix of the deployment's queues and tables."""
        return self._aws.settings.prefix

    async def fleet(self) -> Fleet:
        """All consumers, as of a moment ago."""
        await self._capacity.fresh(1.0, patience_seconds=FLEET_PATIENCE_SECONDS)
        return self._capacity.fleet

    async def labels(self) -> list[str]:
        """Labels that a consumer holds, that have settings, or whose model was loaded once."""
        fleet = await self.fleet()
        held = {label for view in fleet.consumers for label in (*view.loaded, *view.loading)}
        signed = {signature.label for signature in await self._signatures.get(SIGNATURES_SECONDS)}
        return sorted(held | signed | self._capacity.labels.keys())

    async def signature(self, label: str) -> ModelSignature | None:
        """Inputs and outputs of a label's model, None where no consumer has told them."""
        return await self._aws.registry.signature(check_label(label))

    async def overview(self) -> Overview:
        """The deployment at a glance, a moment ago."""
        return await self._glance.overview()

    def flow_stats(self) -> FlowStats:
        """What waits here, and what became of requests."""
        flow = self._waiters.flow
        bands = sorted(flow.bands.items(), reverse=True)
        return FlowStats(
            waiting=flow.waiting,
            in_flight=flow.in_flight,
            bands=[BandStats(priority=one, requests=band.requests, bytes=band.bytes) for one, band in bands],
            outcomes={outcome.value: flow.outcomes[outcome] for outcome in Outcome},
        )

    def gateway_stats(self) -> GatewayStats:
        """The same, and how long callers waited of late."""
        flow = self.flow_stats()
        return GatewayStats(
            **{name: getattr(flow, name) for name in FlowStats.model_fields},
            process=f"{socket.gethostname()}/{os.getpid()}",
            latency_ms=self._waiters.latency.summary(),
        )

    # --- the process --------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether this process does its work."""
        return all(not task.done() for task in self._tasks)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.live and not self._stopping and self._capacity.answering

    @property
    def paused(self) -> bool:
        """Whether nothing is handed to consumers for now."""
        return self._waiters.flow.paused

    def pause(self) -> None:
        """Hand no work to consumers: who waits goes on waiting, new jobs are refused. Problem 503 while shutting down."""
        if self._stopping:
            raise later(503, Outcome.SHUTTING_DOWN, "the gateway is shutting down: who waits is to be served", 1)
        self._waiters.flow.pause()

    def unpause(self) -> None:
        """Go on."""
        self._waiters.flow.resume()

    def stop(self) -> None:
        """Admit nothing more; who was admitted goes on."""
        self._stopping = True
        self._waiters.flow.close()
        self._waiters.flow.resume()

    async def emptied(self) -> None:
        """Return when nobody waits for a result, and no job is being posted."""
        await self._waiters.emptied()
        while self._posting:
            await asyncio.wait(self._posting)

    def send_away(self) -> None:
        """Tell all who still wait that this gateway has no result for them, and by what id theirs will be found."""
        self._waiters.send_away()

    async def _post(self, label: str, post: Callable[[], Awaitable[str]], context: Context) -> str:
        """A job on its way to its queue, also where its caller has left: so long its body is held, and counted."""
        try:
            async with self._accepted.place(label):
                message_id = await post()
                self._accepted.add(message_id, label)
                return message_id
        finally:
            context.share.posted()

    def _posted(self, posting: asyncio.Task[str]) -> None:
        self._posting.discard(posting)
        if not posting.cancelled():
            # Of a caller who has left there is nobody else to ask for it.
            posting.exception()

    async def _record(self, message_id: str, context: Context) -> JobRecord:
        """What is known of a job that the caller may see. Problem 404: the same for what is not there, and for another's."""
        record = await self._aws.jobs.find(message_id)
        if record is None or not context.caller.allows(record.label):
            raise unknown_job(message_id, self._aws.settings.result_ttl_seconds)
        return record

    def _check(self, label: str, context: Context) -> None:
        context.caller.check(check_label(label))

    async def _keep_reading(self) -> None:
        """Know the fleet while anybody waits, and once in a while otherwise."""
        usual = self._aws.settings.host_cache_seconds
        while True:
            with contextlib.suppress(TransportError):
                flow = self._waiters.flow
                await self._capacity.fresh(usual if flow.waiting or flow.in_flight else IDLE_READ_SECONDS)
            await asyncio.sleep(usual if self._capacity.answering else FAILED_READ_SECONDS)
