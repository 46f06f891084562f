"""AsyncProducer: posts jobs and waits for their results."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

from pydantic import ValidationError

from .. import payloads
from ..aws.client import DynamoDBClient
from ..aws.connect import Aws
from ..aws.job_record import JobRecord
from ..aws.queues import OutgoingMessage
from ..errors import (
    DecodeError,
    EncodeError,
    InferenceEngineError,
    LabelError,
    ResultTimeoutError,
    TransportError,
    UnknownMessageError,
)
from ..job import Job, JobFailure, Response, ResultStatus
from ..labels import SINGLE_QUEUE_LABEL, check_label
from ..settings import Settings
from .routes import LabelRoutes, Routes, SingleQueueRoutes
from .watcher import ResultWatcher

log = logging.getLogger(__name__)

#: A job that nobody has started after so long is rung for again while its caller waits: the net under lost rings.
NUDGE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A job that is ready to be sent."""

    url: str
    message: OutgoingMessage
    job: Job


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
        _connect: Callable[[Settings], Aws] = Aws.for_producer,
    ) -> None:
        settings = settings or Settings()
        if ddb_client is not None:
            changed = {"jobs_table": ddb_client.table, "region": ddb_client.region or settings.region}
            settings = settings.model_copy(update=changed)
        self.settings = settings
        self.timeout_seconds = settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        self._aws = _connect(settings)
        self._closed = False
        self._single = queue_name is not None
        self._routes: Routes = (
            LabelRoutes(self._aws) if queue_name is None else SingleQueueRoutes(self._aws, queue_name)
        )
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
        self._closed = True
        await self._watcher.close()
        await self._routes.close()
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
        return await self._send(await self._prepare(body, label, deadline, request_id, dedup_key))

    async def _prepare(
        self, body: Any, label: str | None, deadline: float | None, request_id: str | None, dedup_key: str | None
    ) -> _Prepared:
        """All that can fail before anything is sent: a job that cannot go must leave nothing behind."""
        self._check_open()
        label = self._label(label)
        deduplication_id = uuid.uuid4().hex if dedup_key is None else _digest(dedup_key)
        url = await self._routes.queue_url(label)
        text, reference = await payloads.pack(self._aws.blobs, "body", body, self.settings.body_inline_max_bytes)
        try:
            job = Job(
                label=label,
                request_id=request_id or uuid.uuid4().hex,
                body=text,
                body_ref=reference,
                submitted_at=time.time(),
                deadline=deadline,
            )
        except ValidationError as error:
            raise EncodeError(f"the job cannot travel: {error}") from error
        group = await self._routes.group(label, deduplication_id)
        return _Prepared(url, OutgoingMessage(job.encode(), group, deduplication_id), job)

    async def _send(self, prepared: _Prepared) -> str:
        message_id = await self._aws.queues.send(prepared.url, prepared.message)
        await asyncio.gather(self._aws.jobs.submitted(message_id, prepared.job), self._wake(prepared.job.label))
        return message_id

    async def _wake(self, label: str) -> None:
        try:
            await self._routes.wake(label)
        except TransportError as error:
            # The job is on its queue: who posted it must get its id, and a waiting caller or the next post rings again.
            log.warning("nobody could be asked to load label %r: %s", label, error)

    async def post_many(
        self,
        bodies: Iterable[Any],
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> list[str]:
        """Post a job for each body, in order, in as few requests as possible; their message ids in the same order.

        `deadline` and `request_id` hold for all of them. When some cannot be posted, the first one's error is raised after
        all others were sent.
        """
        # A large body takes a while to prepare: all are ready before the first leaves, so that none overtakes another.
        prepared = await asyncio.gather(
            *(self._prepare(body, label, deadline, request_id, None) for body in bodies), return_exceptions=True
        )
        sent = await asyncio.gather(
            *(self._send(one) if isinstance(one, _Prepared) else _fail(one) for one in prepared),
            return_exceptions=True,
        )
        for outcome in sent:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in sent if isinstance(outcome, str)]

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
            await asyncio.gather(*waits, return_exceptions=True)
            if bar is not None:
                bar.close()

    def _label(self, label: str | None) -> str:
        if label is not None:
            return check_label(label)
        if self._single:
            return SINGLE_QUEUE_LABEL
        raise LabelError("no label given: post(body, label='name-of-the-model')")

    def _check_open(self) -> None:
        if self._closed:
            raise InferenceEngineError(f"this {type(self).__name__} is closed; make a new one")

    async def _record(self, message_id: str) -> JobRecord:
        self._check_open()
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
                    await self._wake(label)
            if waiting.done():
                return await self._response(waiting.result())
            seen = self._watcher.seen(message_id, label)
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
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


async def _fail(error: BaseException) -> NoReturn:
    raise error


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


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
