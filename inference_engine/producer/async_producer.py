"""AsyncProducer: posts jobs and waits for their results."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from .. import payloads
from ..aws.client import DynamoDBClient
from ..aws.connect import Aws
from ..aws.jobs import JobRecord
from ..aws.queues import OutgoingMessage
from ..errors import DecodeError, InferenceEngineError, LabelError, ResultTimeoutError, UnknownMessageError
from ..job import Job, JobFailure, Response, ResultStatus
from ..labels import SINGLE_QUEUE_LABEL, check_label
from ..settings import Settings
from .routes import LabelRoutes, Routes, SingleQueueRoutes
from .watcher import ResultWatcher

#: A job that nobody has started after so long is rung for again while its caller waits: the net under lost rings.
NUDGE_SECONDS = 20.0


class AsyncProducer:
    """Posts jobs by label and collects their results, on asyncio.

    Calls in flight are coalesced into batches of AWS requests; a lone call leaves at once. One instance serves any number of
    tasks of one event loop. Use it with `async with`, or `await close()`.

    With `queue_name` all jobs go to that one FIFO queue and take no label.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        queue_name: str | None = None,
        ddb_client: DynamoDBClient | None = None,
        timeout_seconds: float | None = None,
        _threads: bool = False,
    ) -> None:
        settings = settings or Settings()
        if ddb_client is not None:
            changed = {"jobs_table": ddb_client.table, "region": ddb_client.region or settings.region}
            settings = settings.model_copy(update=changed)
        self.settings = settings
        self.timeout_seconds = settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        self._aws = Aws.for_producer(settings, threads=_threads)
        self._single = queue_name is not None
        self._routes: Routes = SingleQueueRoutes(self._aws, queue_name) if queue_name else LabelRoutes(self._aws)
        self._watcher = ResultWatcher(
            self._aws.jobs.get, min_seconds=settings.poll_min_seconds, max_seconds=settings.poll_max_seconds
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what is being sent and close all connections; jobs that were posted go on."""
        await self._watcher.close()
        await self._aws.close()

    async def post_non_blocking(
        self,
        body: Any,
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
    ) -> str:
        """Put a job on the queue of its label and return the SQS message id, under which its result is kept.

        `body` is anything the codec carries (JSON values, numpy arrays, bytes). After `deadline` (Unix time in seconds) the job
        is not computed any more and ends as EXPIRED. A `dedup_key` seen within the last five minutes makes no second job:
        the first one's message id comes back (SQS Developer Guide, "exactly-once processing"). `request_id` is the
        caller's own name for the job and comes back in the Response.

        Raises InvalidLabelError, UnknownLabelError, EncodeError, PayloadTooLargeError, TransportError.
        """
        label = self._label(label)
        deduplication_id = uuid.uuid4().hex if dedup_key is None else hashlib.sha256(dedup_key.encode()).hexdigest()
        # Before anything is sent: a job that cannot go must leave nothing behind.
        url = await self._routes.queue_url(label)
        text, reference = await payloads.pack(self._aws.blobs, "body", body, self.settings.body_inline_max_bytes)
        job = Job(
            label=label,
            request_id=request_id or uuid.uuid4().hex,
            body=text,
            body_ref=reference,
            submitted_at=time.time(),
            deadline=deadline,
        )
        group = await self._routes.group(label, deduplication_id)
        message_id = await self._aws.queues.send(url, OutgoingMessage(job.encode(), group, deduplication_id))
        await asyncio.gather(self._aws.jobs.submitted(message_id, job), self._routes.wake(label))
        return message_id

    async def post_many(self, bodies: Iterable[Any], label: str | None = None, **options: Any) -> list[str]:
        """Post a job for each body, in order, in as few requests as possible; their message ids in the same order.

        `deadline` and the like as for `post_non_blocking`. When some cannot be posted, the first one's error is raised after
        all others were sent.
        """
        return list(await asyncio.gather(*(self.post_non_blocking(body, label, **options) for body in bodies)))

    async def post(
        self, body: Any, label: str | None = None, *, timeout_seconds: float | None = None, **options: Any
    ) -> Response:
        """Post a job and wait for its Response.

        What becomes of the job, a timeout included, is told by the Response (`status_code` 200 or 500); what keeps it from being
        posted is raised, as by `post_non_blocking`.
        """
        started = time.monotonic()
        message_id = await self.post_non_blocking(body, label, **options)
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        return await self._wait(message_id, self._label(label), seconds - (time.monotonic() - started), seconds)

    async def wait(self, message_id: str, *, timeout_seconds: float | None = None) -> Response:
        """Wait for the Response of a job that was posted before. Raises UnknownMessageError."""
        record = await self._record(message_id)
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        return await self._wait(message_id, record.label, seconds, seconds)

    async def retrieve_result_status(self, message_id: str) -> ResultStatus:
        """Where a job is. Raises UnknownMessageError."""
        return (await self._record(message_id)).status

    async def retrieve_result(self, message_id: str) -> Response:
        """The Response of a job as it stands; status code 202 while it is not finished. Raises UnknownMessageError."""
        return await self._response(await self._record(message_id))

    async def cancel(self, message_id: str) -> bool:
        """End a job that is not finished: True if it will have no other result.

        A job that waits is not computed; one that is being computed is not interrupted, its result is dropped.
        Raises UnknownMessageError.
        """
        await self._record(message_id)
        return await self._aws.jobs.cancel(message_id)

    async def as_completed(
        self, message_ids: Sequence[str], *, timeout_seconds: float | None = None, progress: bool = False
    ) -> AsyncIterator[Response]:
        """Responses of many jobs in the order in which they end.

        After `timeout_seconds` in all, the rest come as timeouts. `progress` shows a bar (needs the `progress` extra).
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        bar = _bar(len(message_ids)) if progress else None
        waits = [asyncio.ensure_future(self.wait(message_id, timeout_seconds=seconds)) for message_id in message_ids]
        try:
            for wait in asyncio.as_completed(waits):
                response = await wait
                if bar is not None:
                    bar.update()
                yield response
        finally:
            for future in waits:
                future.cancel()
            if bar is not None:
                bar.close()

    def _label(self, label: str | None) -> str:
        if label is not None:
            return check_label(label)
        if self._single:
            return SINGLE_QUEUE_LABEL
        raise LabelError("no label given: post(body, label='name-of-the-model')")

    async def _record(self, message_id: str) -> JobRecord:
        record = await self._aws.jobs.get(message_id)
        if record is None:
            raise UnknownMessageError(
                f"no job has the message id {message_id!r} in table {self.settings.jobs_table!r}; "
                f"results are kept for {self.settings.result_ttl_seconds:g} s"
            )
        return record

    async def _wait(self, message_id: str, label: str, patience: float, seconds: float) -> Response:
        waiting = asyncio.ensure_future(self._watcher.wait(message_id, label))
        until = time.monotonic() + patience
        try:
            while not waiting.done() and (left := until - time.monotonic()) > 0:
                await asyncio.wait([waiting], timeout=min(left, NUDGE_SECONDS))
                if not waiting.done() and left > NUDGE_SECONDS:
                    await self._routes.wake(label)
            if waiting.done():
                return await self._response(waiting.result())
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
        seen = self._watcher.forget(message_id, label)
        # The last look may be a second old, or the only one: a result that is there now is still a result.
        seen = await self._aws.jobs.get(message_id) or seen
        if seen is not None and seen.status.finished:
            return await self._response(seen)
        return _timed_out(message_id, label, seen, seconds)

    async def _response(self, record: JobRecord) -> Response:
        status, error, result = record.status, record.error, None
        if status is ResultStatus.SUCCESS:
            try:
                result = await payloads.unpack(self._aws.blobs, record.result, record.result_ref)
            except DecodeError as problem:
                status, error = ResultStatus.ERROR, _failure(problem)
        code = 202 if not status.finished else 200 if status is ResultStatus.SUCCESS else 500
        return Response(
            message_id=record.message_id,
            request_id=record.request_id,
            label=record.label,
            status=status,
            status_code=code,
            result=result,
            error=error,
        )


def _failure(error: InferenceEngineError) -> JobFailure:
    return JobFailure(type=type(error).__name__, message=str(error))


def _timed_out(message_id: str, label: str, seen: JobRecord | None, seconds: float) -> Response:
    status = seen.status if seen else ResultStatus.SUBMITTED
    error = ResultTimeoutError(
        f"no result within {seconds:g} s, the job is {status.value}; it goes on and can be polled by its message id, "
        "or be given more time by timeout_seconds"
    )
    return Response(
        message_id=message_id,
        request_id=seen.request_id if seen else "",
        label=label,
        status=status,
        status_code=500,
        error=_failure(error),
    )


def _bar(total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        raise InferenceEngineError(
            "progress=True needs tqdm; install it with `pip install inference-engine[progress]`"
        ) from None
    return tqdm(total=total, unit="job")
