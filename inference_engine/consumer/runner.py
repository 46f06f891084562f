"""Runs the jobs of a received batch, in this order: start, compute, write the result, delete the message."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from ..backends.base import Backend, Work
from ..deployment import Aws
from ..errors import BackendLostError, DecodeError, EncodeError, PayloadTooLargeError, TransportError, UnretryableError
from ..jobs import payloads
from ..jobs.attempt import Start, Ticket
from ..jobs.job import Job, JobFailure, ResultStatus
from .in_flight import Deliveries, Delivery
from .metrics import Metrics
from .occupancy import Spell

log = logging.getLogger(__name__)

#: Limit for a record's result and body together, so that the rest also fits in DynamoDB's 400 KB.
PAYLOADS_MAX_BYTES = 390_000
#: The wait before a retry doubles each time, up to this.
RETRY_MAX_SECONDS = 900
#: A job that ends sooner is never noted as IN_PROGRESS: nobody could have seen it, and a record write costs ten reads.
NOTE_AFTER_SECONDS = 0.1

_ALWAYS_UNRETRYABLE = (UnretryableError, DecodeError, EncodeError, PayloadTooLargeError)


class JobRunner:
    """Takes each delivery to a result, or back to its queue, whatever happens."""

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
        self._notes: dict[Delivery, asyncio.Task[None]] = {}

    async def run(self, delivery: Delivery, limit: asyncio.Semaphore | None = None) -> bool:
        """Run one job to its end or give it back to the queue. Returns False if the backend was lost during the job.

        `limit` bounds how many of its label's jobs are computed at once, besides the consumer's own limit.

        If this is cancelled (the drain's time is over), the job goes back to the queue before the cancellation continues. A
        job that is already computed must not be cancelled: its result is being written.
        """
        try:
            ticket = self._ticket(delivery)
        except DecodeError as error:
            # Not a job of this library: it has no record to write to, and people look for it in the dead-letter queue.
            log.error("left for the dead-letter queue: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return True
        try:
            if not await self._start(delivery, ticket, note=self._is_noted_at_once(delivery, ticket)):
                return True
            async with limit or contextlib.nullcontext(), self._limit:
                return await self._run_started(delivery, ticket)
        except TransportError as error:
            log.error("job not started: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return True
        except asyncio.CancelledError:
            await asyncio.shield(self._release(delivery, ticket))
            raise

    async def fail(self, delivery: Delivery, reason: JobFailure) -> None:
        """Fail a job without computing it, because its model cannot be loaded."""
        try:
            ticket = self._ticket(delivery)
            if await self._start(delivery, ticket, note=False):
                await self._finish(delivery, ticket, ResultStatus.ERROR, error=reason)
        except (DecodeError, TransportError) as error:
            log.error("failure of the job not recorded: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)

    def _ticket(self, delivery: Delivery) -> Ticket:
        message = delivery.message
        ticket = Ticket.of(message.message_id, Job.decode(message.body), message.receive_count, self._consumer_id)
        delivery.job_id = ticket.message_id
        return ticket

    def _is_noted_at_once(self, delivery: Delivery, ticket: Ticket) -> bool:
        """Whether the start is written before the computation.

        It is left out only where the result would overwrite it at once. A job that was received before or was dead-lettered
        may have killed its consumer, so its starts are counted.
        """
        usual = self._metrics.of(delivery.label).service_mean
        return (
            delivery.message.receive_count > 1 or ticket.job.redrive is not None or not 0 < usual < NOTE_AFTER_SECONDS
        )

    async def _start(self, delivery: Delivery, ticket: Ticket, *, note: bool) -> bool:
        """Whether the job may be computed. If not, this has already settled its delivery."""
        if note:
            start = await self._aws.jobs.start(ticket, self._settings.max_attempts)
        else:
            start = await self._aws.jobs.look(ticket)
        if start is Start.EXHAUSTED:
            failure = JobFailure(
                type="PoisonJobError",
                message=f"the job was started {self._settings.max_attempts} times and did not end; it may kill its consumer",
            )
            await self._finish(delivery, ticket, ResultStatus.ERROR, error=failure)
        elif start in (Start.FINISHED, Start.SUPERSEDED):
            self._deliveries.done(delivery)
        elif start is Start.STALE:
            log.info("a later attempt has the job", extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
        return start is Start.STARTED

    async def _run_started(self, delivery: Delivery, ticket: Ticket) -> bool:
        if ticket.job.expired():
            failure = JobFailure(type="DeadlineExpired", message="the deadline passed before the job was computed")
            await self._finish(delivery, ticket, ResultStatus.EXPIRED, error=failure)
            return True
        started_at = time.time()
        noting = asyncio.get_running_loop().call_later(NOTE_AFTER_SECONDS, self._note, delivery, ticket)
        try:
            with self._metrics.occupancy.spell() as spell:
                text, reference = await self._compute(ticket)
        except BackendLostError as error:
            log.warning("backend lost, the job returns to its queue: %s", error, extra=delivery.log_extra)
            await self._release(delivery, ticket)
            return False
        except Exception as error:
            await self._failed(delivery, ticket, error, spell)
            return True
        finally:
            noting.cancel()
        outcome = {"started_at": started_at, "result": text, "result_ref": reference}
        await self._finish(delivery, ticket, ResultStatus.SUCCESS, spell, **outcome)
        return True

    def _note(self, delivery: Delivery, ticket: Ticket) -> None:
        """Note in the record that the job has started: it takes longer than NOTE_AFTER_SECONDS."""
        if not ticket.noted:
            task = asyncio.get_running_loop().create_task(self._noted(delivery, ticket))
            self._notes[delivery] = task
            task.add_done_callback(lambda _: self._notes.pop(delivery))

    async def _noted(self, delivery: Delivery, ticket: Ticket) -> None:
        try:
            await self._aws.jobs.start(ticket, self._settings.max_attempts)
        except TransportError as error:
            # The write of the result checks again whether this attempt may write.
            log.warning("start not recorded: %s", error, extra=delivery.log_extra)

    async def _compute(self, ticket: Ticket) -> tuple[str | None, str | None]:
        body = await payloads.unpack(self._aws.blobs, ticket.job.body, ticket.job.body_ref)
        result = await self._backend.infer(Work(ticket.message_id, ticket.job.label, body))
        kept = len(ticket.job.body or "") if ticket.job.keep_body else 0
        most = min(self._settings.result_inline_max_bytes, PAYLOADS_MAX_BYTES - kept)
        return await payloads.pack(self._aws.blobs, "result", result, most)

    async def _failed(self, delivery: Delivery, ticket: Ticket, error: Exception, spell: Spell) -> None:
        final = isinstance(error, self._unretryable)
        if not final:
            # Only noted starts are counted, and this one must count.
            if not await self._start(delivery, ticket, note=True):
                return
            final = ticket.starts >= self._settings.max_attempts
        log.warning(
            "job failed on receive %d%s: %s: %s",
            delivery.message.receive_count,
            "" if final else ", will be retried",
            type(error).__name__,
            error,
            extra=delivery.log_extra,
        )
        if final:
            failure = JobFailure(type=type(error).__name__, message=str(error))
            await self._finish(delivery, ticket, ResultStatus.ERROR, spell, error=failure)
            return
        self._metrics.charge(delivery.label, spell)
        wait = min(self._settings.retry_backoff_seconds * 2 ** (ticket.starts - 1), RETRY_MAX_SECONDS)
        await self._deliveries.give_back([delivery], max(1, round(wait)))

    async def _finish(
        self, delivery: Delivery, ticket: Ticket, status: ResultStatus, spell: Spell | None = None, **outcome: Any
    ) -> None:
        """Write the result first, then delete the message: a crash in between leaves a finished job that is deleted later.

        `spell` is the time that the computation took, None where there was none.
        """
        try:
            ours = await self._aws.jobs.finish(ticket, status, patient=delivery.settle(), **outcome)
        except TransportError as error:
            log.error("result not written, the job will be run again: %s", error, extra=delivery.log_extra)
            await self._deliveries.give_back([delivery], self._settings.visibility_timeout_seconds)
            return
        if ours:
            self._metrics.job_ended(delivery.label, status.value, spell)
        self._deliveries.done(delivery)

    async def _release(self, delivery: Delivery, ticket: Ticket) -> None:
        if note := self._notes.get(delivery):
            await asyncio.wait([note])
        try:
            await self._aws.jobs.release(ticket)
        except TransportError as error:
            log.warning("start not undone: %s", error, extra=delivery.log_extra)
        await self._deliveries.give_back([delivery])
