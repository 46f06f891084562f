"""Callers who wait for their result: through flow control to the label's queue, and back with exactly one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from ..job import Response
from ..producer import AsyncProducer
from .capacity import Capacity
from .context import Context
from .flow import FlowController, Limits, Outcome, Permit, Refused
from .latency import Latency
from .problems import Problem, later, problem_of_job
from .settings import GatewaySettings

#: Refusals that more room would have spared the caller; all others are the fleet's or the gateway's end.
TOO_MANY = (Outcome.QUEUE_FULL, Outcome.TTL)
#: Who is sent away waits so long, within what a stopping gateway has for last answers, to be told by what id its job is found.
HANDOVER_SECONDS = 1.5
#: Beyond the caller's own time: a last look at the job's record, which tells what to poll by.
GRACE_SECONDS = 2.0


class Waiters:
    """Runs jobs for callers who wait."""

    def __init__(self, producer: AsyncProducer, capacity: Capacity, settings: GatewaySettings) -> None:
        self.flow = FlowController(_limits(settings), capacity.room)
        self.latency = Latency()
        self._producer = producer
        self._capacity = capacity
        self._settings = settings
        #: Callers who wait, each by what is done when it is to wait no longer.
        self._callers: set[asyncio.Future[None]] = set()
        self._empty = asyncio.Event()
        self._going: set[asyncio.Task[Response]] = set()

    async def close(self) -> None:
        """Send all away, and end what is still under way for callers who have left."""
        self.send_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_SECONDS):
                await self.emptied()
        for going in self._going:
            going.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def send_away(self) -> None:
        """Tell all who still wait that this gateway has no result for them, and by what id theirs will be found.

        Who has had no turn has left nothing behind. Of the others' jobs each has a record from now on, as at the end of its time.
        """
        for enough in self._callers:
            if not enough.done():
                enough.set_result(None)
        self.flow.evict_all()

    async def emptied(self) -> None:
        """Return when nobody waits; jobs of callers who have left may be under way."""
        while self._callers:
            self._empty.clear()
            await self._empty.wait()

    async def run(self, label: str, body: Any, context: Context) -> Response:
        """Wait for a turn, post, wait for the end. Returns only a success; everything else is raised as Problem.

        A caller that leaves before its turn leaves nothing behind. One that leaves later leaves a job that may be computed until
        its deadline; so long it counts as on its way, or callers without patience would fill the label's queue.
        """
        until = time.monotonic() + context.timeout_seconds
        try:
            # Outermost, to see an end by the clock as an end, and only a caller's leaving as a cancellation.
            with self.latency.measure(), self._caller() as enough:
                async with asyncio.timeout(context.timeout_seconds + GRACE_SECONDS):
                    await self._capacity.fresh(2 * self._producer.settings.host_cache_seconds)
                    response = await self._response(label, body, context, until, enough)
        except TimeoutError:
            detail = f"no result within {context.timeout_seconds:g} s; AWS answers slowly"
            raise Problem(504, "timeout", detail) from None
        if enough.done() and not response.status.finished:
            raise _handed_over(response)
        if not response.ok:
            longest = self._settings.timeout_max_seconds
            raise problem_of_job(response, longest if context.timeout_seconds >= longest else None)
        return response

    @contextlib.contextmanager
    def _caller(self) -> Iterator[asyncio.Future[None]]:
        """One who waits: the future is done when it is sent away."""
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
        patience = self._settings.no_consumer_seconds - (time.monotonic() - entered)
        context.share.posting()
        going = asyncio.get_running_loop().create_task(self._go(permit, label, body, context, until, patience, enough))
        self._going.add(going)
        going.add_done_callback(self._gone)
        await asyncio.wait((going, enough), return_when=asyncio.FIRST_COMPLETED)
        if not going.done():
            await asyncio.wait([going], timeout=HANDOVER_SECONDS)
        if not going.done() or going.cancelled():
            raise later(503, Outcome.SHUTTING_DOWN, "the gateway shut down before there was a result", 1)
        return going.result()

    def _gone(self, going: asyncio.Task[Response]) -> None:
        self._going.discard(going)
        if not going.cancelled():
            # Of a caller who has left there is nobody else to ask for it.
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
        except Refused as refused:
            raise problem_of_refusal(refused) from refused

    async def _go(
        self,
        permit: Permit,
        label: str,
        body: Any,
        context: Context,
        until: float,
        patience: float,
        enough: asyncio.Future[None],
    ) -> Response:
        """A job that has its turn, until it ends or nobody would want it any more.

        Once it is posted nothing here holds its body, or callers who leave would fill the memory with theirs.
        """
        with permit:
            seconds = max(0.001, until - time.monotonic())
            if permit.served:
                waiting = self._producer.post(
                    body,
                    label,
                    timeout_seconds=seconds,
                    # What no consumer has started when the caller's time is over is not computed at all.
                    deadline=time.time() + seconds,
                    request_id=context.request_id,
                    _sent=context.share.posted,
                    _enough=enough,
                )
            else:
                waiting = self._knock(label, body, context, until, max(0.001, min(seconds, patience)), enough)
            del body
            try:
                return await waiting
            finally:
                context.share.posted()

    async def _knock(
        self, label: str, body: Any, context: Context, until: float, patience: float, enough: asyncio.Future[None]
    ) -> Response:
        """The same where no consumer lives: the message wakes the fleet, but its caller is told in time that it sleeps.

        The message stays when the caller was sent away, as what a fleet at zero is woken by; its job is cancelled.
        """
        began = time.monotonic()
        message_id = await self._producer.post_non_blocking(
            body, label, deadline=time.time() + until - began, request_id=context.request_id
        )
        del body
        context.share.posted()
        response = await self._producer.wait(message_id, timeout_seconds=patience, _enough=enough)
        if response.status.finished or enough.done():
            return response
        await self._capacity.fresh(1.0, patience_seconds=2.0)
        if not self._capacity.room(label).served and await self._producer.cancel(message_id):
            waited = time.monotonic() - began
            detail = f"no consumer lived for {waited:.1f} s"
            raise later(503, Outcome.NO_CONSUMER, detail, self._settings.no_consumer_seconds)
        left = max(0.001, until - time.monotonic())
        return await self._producer.wait(message_id, timeout_seconds=left, _enough=enough)


def _handed_over(response: Response) -> Problem:
    """What a caller is told whose job goes on without this gateway: no Retry-After, a retry would have it computed again."""
    status = response.status.value
    detail = (
        f"the gateway shut down before there was a result; the job is {status}: "
        f"GET /task/{response.message_id} tells what becomes of it, and a retry would have it computed again"
    )
    return Problem(503, Outcome.SHUTTING_DOWN.value, detail, message_id=response.message_id, job_status=status)


def problem_of_refusal(refused: Refused) -> Problem:
    """What a caller is told whom flow control has not let go."""
    status = 429 if refused.outcome in TOO_MANY else 503
    return later(status, refused.outcome.value, str(refused), refused.retry_seconds)


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        requests=settings.max_queue_size,
        bytes=settings.max_queue_bytes,
        bands=settings.max_bands,
        concurrency=settings.max_concurrency,
        ttl_seconds=settings.queue_seconds,
        patience_seconds=settings.no_consumer_seconds,
        order=settings.order,
    )
