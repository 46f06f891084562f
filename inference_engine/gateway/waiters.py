"""Callers who wait for their result: through flow control to the label's queue, and back with exactly one outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
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


class Waiters:
    """Runs jobs for callers who wait."""

    def __init__(self, producer: AsyncProducer, capacity: Capacity, settings: GatewaySettings) -> None:
        self.flow = FlowController(_limits(settings), capacity.room)
        self.latency = Latency()
        self._producer = producer
        self._capacity = capacity
        self._settings = settings
        self._sent_away = asyncio.Event()

    def send_away(self) -> None:
        """Tell all who still wait that this gateway has no result for them."""
        self._sent_away.set()
        self.flow.evict_all()

    async def run(self, label: str, body: Any, context: Context) -> Response:
        """Wait for a turn, post, wait for the end. Returns only a success; everything else is raised as Problem.

        A caller that leaves before its turn leaves nothing behind; one that leaves later leaves a job that ends by its deadline.
        """
        until = time.monotonic() + context.timeout_seconds
        with self.latency.measure():
            await self._capacity.fresh(2 * self._producer.settings.host_cache_seconds)
            with await self._permit(label, context) as permit:
                send = self._post if permit.served else self._knock
                response = await self._or_sent_away(
                    send(label, body, context, permit, max(0.001, until - time.monotonic()))
                )
        if not response.ok:
            raise problem_of_job(response)
        return response

    async def _or_sent_away(self, sending: Coroutine[Any, Any, Response]) -> Response:
        """The response; Problem 503 when the gateway ends before there is one."""
        response = asyncio.ensure_future(sending)
        sent_away = asyncio.ensure_future(self._sent_away.wait())
        try:
            await asyncio.wait((response, sent_away), return_when=asyncio.FIRST_COMPLETED)
            if response.done():
                return response.result()
        finally:
            response.cancel()
            sent_away.cancel()
        raise later(503, Outcome.SHUTTING_DOWN, "the gateway shut down before there was a result", 1)

    async def _permit(self, label: str, context: Context) -> Permit:
        try:
            return await self.flow.acquire(
                label,
                priority=context.priority,
                flow=context.flow,
                size_bytes=context.size_bytes,
                seconds=context.timeout_seconds,
            )
        except Refused as refused:
            raise problem_of_refusal(refused) from refused

    async def _post(self, label: str, body: Any, context: Context, _permit: Permit, seconds: float) -> Response:
        return await self._producer.post(
            body,
            label,
            timeout_seconds=seconds,
            # Nobody will be there to get it later: what no consumer has started by then is not computed at all.
            deadline=time.time() + seconds,
            request_id=context.request_id,
        )

    async def _knock(self, label: str, body: Any, context: Context, permit: Permit, seconds: float) -> Response:
        """The same where no consumer lives: the message wakes the fleet, but its caller is told in time that it sleeps.

        The message stays when the caller was sent away, as what a fleet at zero is woken by; its job is cancelled.
        """
        until = time.monotonic() + seconds
        message_id = await self._producer.post_non_blocking(
            body, label, deadline=time.time() + seconds, request_id=context.request_id
        )
        patience = min(seconds, self._settings.no_consumer_seconds)
        response = await self._producer.wait(message_id, timeout_seconds=patience)
        if response.status.finished:
            return response
        await self._capacity.fresh(1.0)
        if not self._capacity.room(label).served and await self._producer.cancel(message_id):
            raise later(
                503, "no-consumer", f"no consumer lived for {patience:.1f} s", self._settings.no_consumer_seconds
            )
        return await self._producer.wait(message_id, timeout_seconds=max(0.001, until - time.monotonic()))


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
