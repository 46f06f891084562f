"""The operations behind every API: run and wait, submit and poll, and queries about the deployment."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

from ...aio.single_flight import SingleFlight
from ...deployment import Deployment
from ...errors import TransportError
from ...fleet.view import Fleet, ModelSignature
from ...jobs import payloads
from ...jobs.job import Response
from ...jobs.record import JobRecord
from ...labels import check_label
from ...operations.activity import read_activity
from ...operations.overview import Overview
from ...producer import AsyncProducer
from ...producer.results import response_of
from ..auth.caller import Context
from ..http.problems import later, unknown_job
from ..settings import GatewaySettings
from .async_jobs import AsyncJobs
from .blocking_calls import BlockingCalls
from .capacity import IDLE_READ_SECONDS, FleetCapacity
from .flow_control import WaitOutcome
from .stats import BandStats, FlowStats, GatewayStats

#: Delay before the next reading after a failed one.
FAILED_READ_SECONDS = 2.0
#: A gateway starts to listen after this time even if AWS does not answer; it then reports that it is not ready.
FIRST_READ_SECONDS = 5.0
#: A request for the fleet itself waits this long for a new reading, then gets the last one.
FLEET_WAIT_SECONDS = 2.0
#: Once no consumer holds a newly loaded model any more, the model is listed at most this much later.
SIGNATURES_SECONDS = 30.0
PAUSED_RETRY_SECONDS = 10.0
CLOSE_SECONDS = 5.0


class Service:
    """Posts jobs for callers. Methods raise only Problem and InferenceEngineError; use it with `async with`."""

    def __init__(self, deployment: Deployment, settings: GatewaySettings) -> None:
        self.settings = settings
        self._deployment = deployment
        self._producer = AsyncProducer(deployment.settings, connect=lambda _: deployment)
        self._capacity = FleetCapacity(deployment, settings)
        self._blocking_calls = BlockingCalls(self._producer, self._capacity, settings)
        self._async_jobs = AsyncJobs(deployment, settings.max_queue_size)
        self._overviews = SharedOverview(deployment)
        self._signatures = SingleFlight(deployment.registry.signatures)
        self._tasks: list[asyncio.Task[None]] = []
        self._posting: set[asyncio.Task[str]] = set()
        self._stopping = False

    async def __aenter__(self) -> Self:
        with contextlib.suppress(TransportError, TimeoutError):
            async with asyncio.timeout(FIRST_READ_SECONDS):
                await self._capacity.fresh(0)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._blocking_calls.flow.run()), loop.create_task(self._keep_reading())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()
        await self._blocking_calls.close()
        under_way = [*self._tasks, *self._posting]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        readers = (self._capacity, self._async_jobs, self._overviews, self._signatures)
        await asyncio.gather(*(reader.close() for reader in readers))
        # Requests on their way to AWS may finish, but a process that has to end cannot wait for an AWS that does not answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._producer.close()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def run(self, label: str, body: Any, context: Context) -> Response:
        """Run a job for a waiting caller: see BlockingCalls.run. Returns only a success."""
        self._check(label, context)
        return await self._blocking_calls.run(label, body, context)

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
        """Post a job that continues whatever becomes of this gateway and its caller; returns its message id.

        A `dedup_key` seen within the last five minutes creates no second job: the first job's message id is returned.
        Raises Problem 429 where the label's queue is full, 503 while the gateway is paused or shutting down.
        """
        self._check(label, context)
        if self._stopping:
            raise later(503, WaitOutcome.SHUTTING_DOWN, "the gateway is shutting down", 1)
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
        # The task is not awaited directly: a caller that leaves would cancel it and leave half a job.
        await asyncio.wait([posting])
        if posting.cancelled():
            raise later(503, WaitOutcome.SHUTTING_DOWN, "the gateway shut down before the job was on its queue", 1)
        return posting.result()

    async def result(self, message_id: str, context: Context) -> Response:
        """The current state of a job. Raises Problem 404 where there is no such job that the caller may see."""
        return await response_of(self._deployment, await self._record(message_id, context))

    async def result_and_inputs(self, message_id: str, context: Context) -> tuple[Response, Any]:
        """As `result`, with the inputs the job was posted with; None in their place where they were not to be kept."""
        record = await self._record(message_id, context)
        if record.body is None and record.body_ref is None:
            return await response_of(self._deployment, record), None
        return await asyncio.gather(
            response_of(self._deployment, record), payloads.unpack(self._deployment.blobs, record.body, record.body_ref)
        )

    async def cancel(self, message_id: str, context: Context) -> bool:
        """Cancel an unfinished job; False where it has already ended. Raises Problem 404 as above."""
        await self._record(message_id, context)
        return await self._deployment.jobs.cancel(message_id)

    async def queue_size(self, label: str | None, context: Context) -> int:
        """The number of unfinished jobs of one label, or of all labels that the caller may use."""
        if label is not None:
            self._check(label, context)
            return await self._async_jobs.backlog(label)
        overview = await self._overviews.overview(COUNTED_SECONDS)
        return sum(row.visible + row.in_flight for row in overview.labels if context.caller.allows(row.label))

    async def unfinished(self, context: Context) -> list[str]:
        """Message ids of jobs that were submitted through this gateway and have not ended, as far as is known."""
        return await self._async_jobs.unfinished(context.caller.allows)

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def deployment(self) -> str:
        """The prefix of the deployment's queues and tables."""
        return self._deployment.settings.prefix

    async def fleet(self) -> Fleet:
        """All consumers, as of a moment ago."""
        await self._capacity.fresh(1.0, wait_seconds=FLEET_WAIT_SECONDS)
        return self._capacity.fleet

    async def labels(self) -> list[str]:
        """Labels that a consumer holds, that have settings, or whose model has ever been loaded."""
        fleet = await self.fleet()
        held = {label for view in fleet.consumers for label in (*view.loaded, *view.loading)}
        signed = {signature.label for signature in await self._signatures.get(SIGNATURES_SECONDS)}
        return sorted(held | signed | self._capacity.labels.keys())

    async def signature(self, label: str) -> ModelSignature | None:
        """Inputs and outputs of a label's model; None where no consumer has reported them."""
        return await self._deployment.registry.signature(check_label(label))

    async def overview(self) -> Overview:
        """An overview of the deployment, as of a moment ago."""
        return await self._overviews.overview()

    def flow_stats(self) -> FlowStats:
        """Requests that wait here, and the outcomes of past ones."""
        flow = self._blocking_calls.flow
        bands = sorted(flow.bands.items(), reverse=True)
        return FlowStats(
            waiting=flow.waiting,
            in_flight=flow.in_flight,
            bands=[BandStats(priority=one, requests=band.requests, bytes=band.bytes) for one, band in bands],
            outcomes={outcome.value: flow.outcomes[outcome] for outcome in WaitOutcome},
        )

    def gateway_stats(self) -> GatewayStats:
        """As `flow_stats`, and how long callers have waited recently."""
        flow = self.flow_stats()
        return GatewayStats(
            **{name: getattr(flow, name) for name in FlowStats.model_fields},
            process=f"{socket.gethostname()}/{os.getpid()}",
            latency_ms=self._blocking_calls.latency.summary(),
        )

    # --- the process --------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the background tasks of this process are running."""
        return all(not task.done() for task in self._tasks)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.live and not self._stopping and self._capacity.answering

    @property
    def paused(self) -> bool:
        """Whether dispatching to consumers is paused."""
        return self._blocking_calls.flow.paused

    def pause(self) -> None:
        """Stop dispatching: waiting callers keep waiting, new jobs are rejected. Raises Problem 503 while shutting down."""
        if self._stopping:
            raise later(
                503,
                WaitOutcome.SHUTTING_DOWN,
                "the gateway is shutting down and cannot be paused: waiting callers are still served",
                1,
            )
        self._blocking_calls.flow.pause()

    def unpause(self) -> None:
        """Resume dispatching."""
        self._blocking_calls.flow.resume()

    def stop(self) -> None:
        """Admit no more requests; those already admitted continue."""
        self._stopping = True
        self._blocking_calls.flow.close()
        self._blocking_calls.flow.resume()

    async def emptied(self) -> None:
        """Return when no caller waits for a result and no job is being posted."""
        await self._blocking_calls.emptied()
        while self._posting:
            await asyncio.wait(self._posting)

    def send_away(self) -> None:
        """Tell all callers that still wait that this gateway has no result for them, and by which id to find theirs."""
        self._blocking_calls.send_away()

    async def _post(self, label: str, post: Callable[[], Awaitable[str]], context: Context) -> str:
        """Post a job, even if its caller has left: its body is held, and counted, until the job is posted."""
        try:
            async with self._async_jobs.place(label):
                message_id = await post()
                self._async_jobs.add(message_id, label)
                return message_id
        finally:
            context.share.posted()

    def _posted(self, posting: asyncio.Task[str]) -> None:
        self._posting.discard(posting)
        if not posting.cancelled():
            # If the caller has left, nothing else retrieves the exception.
            posting.exception()

    async def _record(self, message_id: str, context: Context) -> JobRecord:
        """The record of a job that the caller may see. Raises Problem 404, the same for a missing job and for another's."""
        record = await self._deployment.jobs.find(message_id)
        if record is None or not context.caller.allows(record.label):
            raise unknown_job(message_id, self._deployment.settings.result_ttl_seconds)
        return record

    def _check(self, label: str, context: Context) -> None:
        context.caller.check(check_label(label))

    async def _keep_reading(self) -> None:
        """Keep the fleet up to date while anybody waits, and read it once in a while otherwise."""
        usual = self._deployment.settings.host_cache_seconds
        while True:
            with contextlib.suppress(TransportError):
                flow = self._blocking_calls.flow
                await self._capacity.fresh(usual if flow.waiting or flow.in_flight else IDLE_READ_SECONDS)
            await asyncio.sleep(usual if self._capacity.answering else FAILED_READ_SECONDS)


#: How old an overview for people may be.
BELIEVED_SECONDS = 2.0
#: How old one for programs may be: each reading costs a request for each label.
COUNTED_SECONDS = 15.0


class SharedOverview:
    """Overviews, each with its rates since the one before.

    A caller may leave before a large deployment is read: the overview is then there for the next caller.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._overviews = SingleFlight(self._read)

    async def overview(self, seconds: float = BELIEVED_SECONDS) -> Overview:
        """The deployment as it was at most this many seconds ago. Raises TransportError."""
        return await self._overviews.get(seconds)

    async def close(self) -> None:
        """End the reading that is under way."""
        await self._overviews.close()

    async def _read(self) -> Overview:
        return (await read_activity(self._deployment, sweep_queues=0)).overview(self._overviews.value)
