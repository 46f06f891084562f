"""Callers that wait for their result: through flow control to the label's queue, and back with exactly one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from ...jobs.job import Response
from ...producer import AsyncProducer
from ..auth.caller import Context
from ..http.problems import Problem, later, problem_of_job
from ..settings import GatewaySettings
from .capacity import FleetCapacity
from .flow_control import FlowController, Limits, NotDispatched, Permit, WaitOutcome
from .stats import Latency

#: Rejections that more room would have avoided; all others are caused by the fleet or by the gateway's shutdown.
TOO_MANY = (WaitOutcome.QUEUE_FULL, WaitOutcome.TTL)
#: A caller that is sent away waits this long for its job's id; part of the time that a stopping gateway has for last answers.
HANDOVER_SECONDS = 1.5
#: Added to the caller's own time, for a last look at the job's record, which tells the caller which id to poll.
GRACE_SECONDS = 2.0


class BlockingCalls:
    """Runs jobs for callers that wait."""

    def __init__(self, producer: AsyncProducer, capacity: FleetCapacity, settings: GatewaySettings) -> None:
        self.flow = FlowController(_limits(settings), capacity.room)
        self.latency = Latency()
        self._producer = producer
        self._capacity = capacity
        self._settings = settings
        #: One future for each waiting caller; it is set when the caller is to wait no longer.
        self._callers: set[asyncio.Future[None]] = set()
        self._empty = asyncio.Event()
        self._going: set[asyncio.Task[Response]] = set()

    async def close(self) -> None:
        """Send all callers away, and cancel what is still under way for callers that have left."""
        self.send_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_SECONDS):
                await self.emptied()
        for going in self._going:
            going.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def send_away(self) -> None:
        """Tell all callers that still wait that this gateway has no result for them, and by which id to find theirs.

        A caller that has had no turn leaves nothing behind. Each job of the others has a record from now on, as it has when its
        caller's time is over.
        """
        for enough in self._callers:
            if not enough.done():
                enough.set_result(None)
        self.flow.evict_all()

    async def emptied(self) -> None:
        """Return when no caller waits; jobs of callers that have left may still be under way."""
        while self._callers:
            self._empty.clear()
            await self._empty.wait()

    async def run(self, label: str, body: Any, context: Context) -> Response:
        """Wait for a turn, post, wait for the end. Returns only a success; every other outcome is raised as Problem.

        A caller that leaves before its turn leaves nothing behind. One that leaves later leaves a job that may be computed until
        its deadline. That job counts as on its way until then; otherwise impatient callers would fill the label's queue.
        """
        until = time.monotonic() + context.timeout_seconds
        try:
            # Outermost, so that a timeout is measured as an end and only a caller that leaves as a cancellation.
            with self.latency.measure(), self._caller() as enough:
                async with asyncio.timeout(context.timeout_seconds + GRACE_SECONDS):
                    await self._capacity.fresh(2 * self._producer.settings.host_cache_seconds)
                    response = await self._response(label, body, context, until, enough)
        except TimeoutError:
            detail = f"no result within {context.timeout_seconds:g} s; AWS is responding slowly"
            raise Problem(504, "timeout", detail) from None
        if enough.done() and not response.status.finished:
            raise _handed_over(response)
        if not response.ok:
            longest = self._settings.timeout_max_seconds
            raise problem_of_job(response, longest if context.timeout_seconds >= longest else None)
        return response

    @contextlib.contextmanager
    def _caller(self) -> Iterator[asyncio.Future[None]]:
        """One waiting caller: the future is done when the caller is sent away."""
        enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._callers.add(enough)
        try:
            yield enough
        finally:
            self._callers.discard(enough)
            if not self._callers:
                self._empty.set()

    async def _response(
        self, label: str, body: Any, context: Context, until: float, enough: asyncio.Future[None]
    ) -> Response:
        entered = time.monotonic()
        permit = await self._permit(label, context)
        no_consumer_seconds = self._settings.no_consumer_seconds - (time.monotonic() - entered)
        context.share.posting()
        going = asyncio.get_running_loop().create_task(
            self._go(permit, label, body, context, until, no_consumer_seconds, enough)
        )
        self._going.add(going)
        going.add_done_callback(self._gone)
        await asyncio.wait((going, enough), return_when=asyncio.FIRST_COMPLETED)
        if not going.done():
            await asyncio.wait([going], timeout=HANDOVER_SECONDS)
        if not going.done() or going.cancelled():
            raise later(503, WaitOutcome.SHUTTING_DOWN, "the gateway shut down before there was a result", 1)
        return going.result()

    def _gone(self, going: asyncio.Task[Response]) -> None:
        self._going.discard(going)
        if not going.cancelled():
            # If the caller has left, nothing else retrieves the exception.
            going.exception()

    async def _permit(self, label: str, context: Context) -> Permit:
        try:
            return await self.flow.acquire(
                label,
                priority=context.priority,
                path=(context.caller.key_id, context.flow),
                size_bytes=context.size_bytes,
                seconds=context.timeout_seconds,
            )
        except NotDispatched as refused:
            raise problem_of_refusal(refused) from refused

    async def _go(
        self,
        permit: Permit,
        label: str,
        body: Any,
        context: Context,
        until: float,
        no_consumer_seconds: float,
        enough: asyncio.Future[None],
    ) -> Response:
        """Run a job that has its turn, until it ends or no caller would want it any more.

        Once the job is posted nothing here holds its body; otherwise callers that leave would fill the memory with their bodies.
        """
        with permit:
            seconds = max(0.001, until - time.monotonic())
            if permit.served:
                waiting = self._run_with_consumer(label, body, context, until, seconds, enough)
            else:
                waiting = self._run_without_consumer(
                    label, body, context, until, max(0.001, min(seconds, no_consumer_seconds)), enough
                )
            del body
            try:
                return await waiting
            finally:
                context.share.posted()

    async def _run_with_consumer(
        self, label: str, body: Any, context: Context, until: float, seconds: float, enough: asyncio.Future[None]
    ) -> Response:
        submission = await self._producer.submit(
            body,
            label,
            # A job that no consumer has started when the caller's time is over is not computed at all.
            deadline=time.time() + seconds,
            request_id=context.request_id,
        )
        del body
        context.share.posted()
        return await submission.wait(max(0.001, until - time.monotonic()), until=enough)

    async def _run_without_consumer(
        self,
        label: str,
        body: Any,
        context: Context,
        until: float,
        no_consumer_seconds: float,
        enough: asyncio.Future[None],
    ) -> Response:
        """As `_go`, where no consumer lives: the message starts the fleet, and the caller learns in time that none is there.

        When the caller is rejected for that, its job is cancelled but the message stays, to start a fleet that is scaled to zero.
        """
        began = time.monotonic()
        message_id = await self._producer.post_non_blocking(
            body, label, deadline=time.time() + until - began, request_id=context.request_id
        )
        del body
        context.share.posted()
        response = await self._producer.wait(message_id, timeout_seconds=no_consumer_seconds, until=enough)
        if response.status.finished or enough.done():
            return response
        await self._capacity.fresh(1.0, wait_seconds=2.0)
        if not self._capacity.room(label).served and await self._producer.cancel(message_id):
            waited = time.monotonic() - began
            detail = f"there was no live consumer for {waited:.1f} s"
            raise later(503, WaitOutcome.NO_CONSUMER, detail, self._settings.no_consumer_seconds)
        left = max(0.001, until - time.monotonic())
        return await self._producer.wait(message_id, timeout_seconds=left, until=enough)


def _handed_over(response: Response) -> Problem:
    """The answer where a job continues without this gateway: no Retry-After, because a retry would compute the job again."""
    status = response.status.value
    detail = (
        f"the gateway shut down before there was a result; the job is {status}: "
        f"poll GET /task/{response.message_id} on another gateway for its result; a retry would compute it again"
    )
    return Problem(503, WaitOutcome.SHUTTING_DOWN.value, detail, message_id=response.message_id, job_status=status)


def problem_of_refusal(refused: NotDispatched) -> Problem:
    """The answer to a caller that flow control did not dispatch."""
    status = 429 if refused.outcome in TOO_MANY else 503
    return later(status, refused.outcome.value, str(refused), refused.retry_seconds)


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        requests=settings.max_queue_size,
        bytes=settings.max_queue_bytes,
        bands=settings.max_bands,
        concurrency=settings.max_concurrency,
        ttl_seconds=settings.queue_seconds,
        no_consumer_seconds=settings.no_consumer_seconds,
        order=settings.order,
    )
