"""Runs the jobs of a received batch, in this order: start, compute, write the result, delete the message."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from ..backends.base import Backend, Work
from ..deployment import Deployment
from ..errors import BackendLostError, DecodeError, EncodeError, PayloadTooLargeError, TransportError, UnretryableError
from ..jobs import payloads
from ..jobs.attempt import Attempt, Start
from ..jobs.job import Job, JobFailure, ResultStatus
from .in_flight import InFlight, InFlightMessage
from .metrics import Computation, ConsumerMetrics

log = logging.getLogger(__name__)

#: Limit for a record's result and body together, so that the rest also fits in DynamoDB's 400 KB.
PAYLOADS_MAX_BYTES = 390_000
#: The wait before a retry doubles each time, up to this.
RETRY_MAX_SECONDS = 900
#: A job that ends sooner is never recorded as IN_PROGRESS: nobody could have seen it, and a record write costs ten reads.
RECORD_START_AFTER_SECONDS = 0.1

_ALWAYS_UNRETRYABLE = (UnretryableError, DecodeError, EncodeError, PayloadTooLargeError)


class JobRunner:
    """Takes each message to a result, or back to its queue, whatever happens."""

    def __init__(
        self,
        deployment: Deployment,
        backend: Backend,
        in_flight: InFlight,
        metrics: ConsumerMetrics,
        consumer_id: str,
        unretryable: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._backend = backend
        self._in_flight = in_flight
        self._metrics = metrics
        self._consumer_id = consumer_id
        self._unretryable: tuple[type[BaseException], ...] = (*_ALWAYS_UNRETRYABLE, *unretryable)
        self._limit = asyncio.Semaphore(self._settings.max_in_flight)
        self._recording: dict[InFlightMessage, asyncio.Task[None]] = {}

    async def run(self, message: InFlightMessage, limit: asyncio.Semaphore | None = None) -> bool:
        """Run one job to its end or give it back to the queue. Returns False if the backend was lost during the job.

        `limit` bounds how many of its label's jobs are computed at once, besides the consumer's own limit.

        If this is cancelled (the drain's time is over), the job goes back to the queue before the cancellation continues. A
        job that is already computed must not be cancelled: its result is being written.
        """
        try:
            attempt = self._attempt(message)
        except DecodeError as error:
            # Not a job of this library: it has no record to write to, and people look for it in the dead-letter queue.
            log.error("left for the dead-letter queue: %s", error, extra=message.log_extra)
            await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)
            return True
        try:
            if not await self._start(message, attempt, record=self._records_start_at_once(message, attempt)):
                return True
            async with limit or contextlib.nullcontext(), self._limit:
                return await self._run_started(message, attempt)
        except TransportError as error:
            log.error("job not started: %s", error, extra=message.log_extra)
            await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)
            return True
        except asyncio.CancelledError:
            await asyncio.shield(self._release(message, attempt))
            raise

    async def fail(self, message: InFlightMessage, reason: JobFailure) -> None:
        """Fail a job without computing it, because its model cannot be loaded."""
        try:
            attempt = self._attempt(message)
            if await self._start(message, attempt, record=False):
                await self._finish(message, attempt, ResultStatus.ERROR, error=reason)
        except (DecodeError, TransportError) as error:
            log.error("failure of the job not recorded: %s", error, extra=message.log_extra)
            await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)

    def _attempt(self, message: InFlightMessage) -> Attempt:
        received = message.received
        attempt = Attempt.of(received.message_id, Job.decode(received.body), received.receive_count, self._consumer_id)
        message.job_id = attempt.message_id
        return attempt

    def _records_start_at_once(self, message: InFlightMessage, attempt: Attempt) -> bool:
        """Whether the start is written before the computation.

        It is left out only where the result would overwrite it at once. A job that was received before or was dead-lettered
        may have killed its consumer, so its starts are counted.
        """
        usual = self._metrics.of(message.label).service_mean
        return (
            message.received.receive_count > 1
            or attempt.job.redrive is not None
            or not 0 < usual < RECORD_START_AFTER_SECONDS
        )

    async def _start(self, message: InFlightMessage, attempt: Attempt, *, record: bool) -> bool:
        """Whether the job may be computed. If not, this has already settled its message."""
        if record:
            start = await self._deployment.jobs.start(attempt, self._settings.max_attempts)
        else:
            start = await self._deployment.jobs.look(attempt)
        if start is Start.EXHAUSTED:
            failure = JobFailure(
                type="PoisonJobError",
                message=f"the job was started {self._settings.max_attempts} times and did not end; it may kill its consumer",
            )
            await self._finish(message, attempt, ResultStatus.ERROR, error=failure)
        elif start in (Start.FINISHED, Start.SUPERSEDED):
            self._in_flight.done(message)
        elif start is Start.STALE:
            log.info("a later attempt has the job", extra=message.log_extra)
            await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)
        return start is Start.STARTED

    async def _run_started(self, message: InFlightMessage, attempt: Attempt) -> bool:
        if attempt.job.expired():
            failure = JobFailure(type="DeadlineExpired", message="the deadline passed before the job was computed")
            await self._finish(message, attempt, ResultStatus.EXPIRED, error=failure)
            return True
        started_at = time.time()
        recording = asyncio.get_running_loop().call_later(
            RECORD_START_AFTER_SECONDS, self._record_start_late, message, attempt
        )
        try:
            with self._metrics.compute_time.measure() as computation:
                text, reference = await self._compute(attempt)
        except BackendLostError as error:
            log.warning("backend lost, the job returns to its queue: %s", error, extra=message.log_extra)
            await self._release(message, attempt)
            return False
        except Exception as error:
            await self._failed(message, attempt, error, computation)
            return True
        finally:
            recording.cancel()
        outcome = {"started_at": started_at, "result": text, "result_ref": reference}
        await self._finish(message, attempt, ResultStatus.SUCCESS, computation, **outcome)
        return True

    def _record_start_late(self, message: InFlightMessage, attempt: Attempt) -> None:
        """Record that the job has started: it takes longer than RECORD_START_AFTER_SECONDS."""
        if not attempt.start_recorded:
            task = asyncio.get_running_loop().create_task(self._record_start(message, attempt))
            self._recording[message] = task
            task.add_done_callback(lambda _: self._recording.pop(message))

    async def _record_start(self, message: InFlightMessage, attempt: Attempt) -> None:
        try:
            await self._deployment.jobs.start(attempt, self._settings.max_attempts)
        except TransportError as error:
            # The write of the result checks again whether this attempt may write.
            log.warning("start not recorded: %s", error, extra=message.log_extra)

    async def _compute(self, attempt: Attempt) -> tuple[str | None, str | None]:
        body = await payloads.unpack(self._deployment.blobs, attempt.job.body, attempt.job.body_ref)
        result = await self._backend.infer(Work(attempt.message_id, attempt.job.label, body))
        kept = len(attempt.job.body or "") if attempt.job.keep_body else 0
        most = min(self._settings.result_inline_max_bytes, PAYLOADS_MAX_BYTES - kept)
        return await payloads.pack(self._deployment.blobs, "result", result, most)

    async def _failed(
        self, message: InFlightMessage, attempt: Attempt, error: Exception, computation: Computation
    ) -> None:
        final = isinstance(error, self._unretryable)
        if not final:
            # Only noted starts are counted, and this one must count.
            if not await self._start(message, attempt, record=True):
                return
            final = attempt.starts >= self._settings.max_attempts
        log.warning(
            "job failed on receive %d%s: %s: %s",
            message.received.receive_count,
            "" if final else ", will be retried",
            type(error).__name__,
            error,
            extra=message.log_extra,
        )
        if final:
            failure = JobFailure(type=type(error).__name__, message=str(error))
            await self._finish(message, attempt, ResultStatus.ERROR, computation, error=failure)
            return
        self._metrics.charge(message.label, computation)
        wait = min(self._settings.retry_backoff_seconds * 2 ** (attempt.starts - 1), RETRY_MAX_SECONDS)
        await self._in_flight.give_back([message], max(1, round(wait)))

    async def _finish(
        self,
        message: InFlightMessage,
        attempt: Attempt,
        status: ResultStatus,
        computation: Computation | None = None,
        **outcome: Any,
    ) -> None:
        """Write the result first, then delete the message: a crash in between leaves a finished job that is deleted later.

        `computation` is the time that the computation took, None where there was none.
        """
        try:
            ours = await self._deployment.jobs.finish(attempt, status, patient=message.settle(), **outcome)
        except TransportError as error:
            log.error("result not written, the job will be run again: %s", error, extra=message.log_extra)
            await self._in_flight.give_back([message], self._settings.visibility_timeout_seconds)
            return
        if ours:
            self._metrics.job_ended(message.label, status.value, computation)
        self._in_flight.done(message)

    async def _release(self, message: InFlightMessage, attempt: Attempt) -> None:
        if record := self._recording.get(message):
            await asyncio.wait([record])
        try:
            await self._deployment.jobs.release(attempt)
        except TransportError as error:
            log.warning("start not undone: %s", error, extra=message.log_extra)
        await self._in_flight.give_back([message])
