"""Runs the jobs of a received batch: start, compute, write the result, delete the message. In that order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from .. import payloads
from ..aws.connect import Aws
from ..aws.jobs import Start, Ticket
from ..backends.base import Backend, Work
from ..errors import BackendLostError, DecodeError, EncodeError, PayloadTooLargeError, TransportError, UnretryableError
from ..job import Job, JobFailure, ResultStatus
from .deliveries import Deliveries, Delivery
from .metrics import Metrics

log = logging.getLogger(__name__)

#: A retried job waits twice as long each time, but never longer than this.
RETRY_MAX_SECONDS = 900

_ALWAYS_UNRETRYABLE = (UnretryableError, DecodeError, EncodeError, PayloadTooLargeError)


class JobRunner:
    """Does with one delivery what must be done, whatever happens."""

    def __init__(
        self,
        aws: Aws,
        backend: Backend,
        deliveries: Deliveries,
        metrics: Metrics,
        consumer_id: str,
        unretryable: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._aws = aws
        self._settings = aws.settings
        self._backend = backend
        self._deliveries = deliveries
        self._metrics = metrics
        self._consumer_id = consumer_id
        self._unretryable: tuple[type[BaseException], ...] = (*_ALWAYS_UNRETRYABLE, *unretryable)
        self._limit = asyncio.Semaphore(self._settings.max_in_flight)

    async def run(self, delivery: Delivery, limit: asyncio.Semaphore | None = None) -> bool:
        """One job to its end, or back to the queue. False when the backend was lost over it.

        `limit` bounds the jobs of its label that are computed at once, beside the consumer's own bound.

        Cancelled (a drain whose time is over), the job goes back to the queue before the cancellation goes on.
        """
        try:
            job = Job.decode(delivery.message.body)
        except DecodeError as error:
            # Not one of ours: there is no record to write to, and the dead-letter queue is where people look for it.
            log.error("left for the dead-letter queue: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return True
        ticket: Ticket | None = None
        try:
            ticket = await self._start(delivery, job)
            if ticket is None:
                return True
            async with limit or contextlib.nullcontext(), self._limit:
                return await self._run_started(delivery, job, ticket)
        except TransportError as error:
            log.error("job not started: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return True
        except asyncio.CancelledError:
            await asyncio.shield(self._release(delivery, ticket))
            raise

    async def fail(self, delivery: Delivery, reason: JobFailure) -> None:
        """End a job without computing it: its model cannot be had."""
        try:
            job = Job.decode(delivery.message.body)
            ticket = await self._start(delivery, job)
            if ticket is not None:
                await self._finish(delivery, ticket, ResultStatus.ERROR, time.monotonic(), error=reason)
        except (DecodeError, TransportError) as error:
            log.error("job not failed: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)

    async def _start(self, delivery: Delivery, job: Job) -> Ticket | None:
        message = delivery.message
        start, ticket = await self._aws.jobs.start(
            message.message_id, job, message.receive_count, self._consumer_id, self._settings.max_attempts
        )
        if start is Start.STARTED:
            return ticket
        if start is Start.EXHAUSTED:
            failure = JobFailure(
                type="PoisonJobError",
                message=f"the job was started {self._settings.max_attempts} times and its consumer died each time",
            )
            await self._finish(delivery, ticket, ResultStatus.ERROR, time.monotonic(), error=failure)
        elif start is Start.FINISHED:
            await self._deliveries.delete(delivery)
        else:
            log.info("a later attempt has the job", extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
        return None

    async def _run_started(self, delivery: Delivery, job: Job, ticket: Ticket) -> bool:
        started = time.monotonic()
        try:
            if job.expired():
                failure = JobFailure(type="DeadlineExpired", message="the deadline passed before the job was computed")
                await self._finish(delivery, ticket, ResultStatus.EXPIRED, started, error=failure)
                return True
            text, reference = await self._compute(delivery, job)
        except BackendLostError as error:
            log.warning("backend lost, the job goes back: %s", error, extra=delivery.log_extra)
            await self._release(delivery, ticket)
            return False
        except Exception as error:
            await self._failed(delivery, ticket, error, started)
            return True
        await self._finish(delivery, ticket, ResultStatus.SUCCESS, started, result=text, result_ref=reference)
        return True

    async def _compute(self, delivery: Delivery, job: Job) -> tuple[str | None, str | None]:
        body = await payloads.unpack(self._aws.blobs, job.body, job.body_ref)
        result = await self._backend.infer(Work(delivery.message.message_id, job.label, body))
        return await payloads.pack(self._aws.blobs, "result", result, self._settings.result_inline_max_bytes)

    async def _failed(self, delivery: Delivery, ticket: Ticket, error: Exception, started: float) -> None:
        final = isinstance(error, self._unretryable) or ticket.starts >= self._settings.max_attempts
        log.warning(
            "attempt %d failed%s: %s: %s",
            ticket.starts,
            "" if final else ", will be retried",
            type(error).__name__,
            error,
            extra=delivery.log_extra,
        )
        if final:
            failure = JobFailure(type=type(error).__name__, message=str(error))
            await self._finish(delivery, ticket, ResultStatus.ERROR, started, error=failure)
            return
        wait = min(self._settings.retry_backoff_seconds * 2 ** (ticket.starts - 1), RETRY_MAX_SECONDS)
        await self._deliveries.give_back([delivery], max(1, round(wait)))

    async def _finish(
        self, delivery: Delivery, ticket: Ticket, status: ResultStatus, started: float, **outcome: Any
    ) -> None:
        """The result first, the message second: a crash in between leaves a finished job that is only deleted later."""
        try:
            ours = await asyncio.shield(self._aws.jobs.finish(ticket, status, **outcome))
        except TransportError as error:
            log.error("result not written, the job is run again: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return
        if ours:
            self._metrics.job_ended(delivery.label, status.value, time.monotonic() - started)
        await self._deliveries.delete(delivery)

    async def _release(self, delivery: Delivery, ticket: Ticket | None) -> None:
        try:
            if ticket is not None:
                await self._aws.jobs.release(ticket)
        except TransportError as error:
            log.warning("start not taken back: %s", error, extra=delivery.log_extra)
        await self._deliveries.give_back([delivery])
