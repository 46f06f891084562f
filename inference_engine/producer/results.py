"""Outcomes of jobs: looked up once, waited for singly, or waited for by the thousand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Any

from ..aio.bounded_dict import BoundedDict
from ..deployment import Deployment
from ..errors import DecodeError, InferenceEngineError, ResultTimeoutError, TransportError, UnknownMessageError
from ..jobs import payloads
from ..jobs.job import JobFailure, Response, ResultStatus
from ..jobs.record import JobRecord
from .result_poller import ResultPoller
from .routes import Routes
from .submission import SentJob

log = logging.getLogger(__name__)

#: While a caller waits, a label with work but no holder is looked at again this often: a safety net for lost load requests.
RECHECK_SECONDS = 20.0
#: Records to read before the first of them are yielded.
CHUNK = 1000
#: How many recently posted jobs this producer remembers the labels of: waiting for them needs no record read first.
POSTED_MAX = 50_000


class Results:
    """Records and Responses of jobs by message id."""

    def __init__(self, deployment: Deployment, routes: Routes) -> None:
        settings = deployment.settings
        self._deployment = deployment
        self._settings = settings
        self._routes = routes
        self._posted: BoundedDict[str, str] = BoundedDict(POSTED_MAX)
        self._poller = ResultPoller(
            deployment.jobs.get, min_seconds=settings.poll_min_seconds, max_seconds=settings.poll_max_seconds
        )

    async def close(self) -> None:
        """Stop polling; callers that still wait are cancelled."""
        await self._poller.close()

    def posted(self, message_id: str, label: str) -> None:
        """Remember the label of a job that this producer posted and recorded."""
        self._posted[message_id] = label

    async def record(self, message_id: str) -> JobRecord:
        """The current record. Raises UnknownMessageError."""
        record = await self._deployment.jobs.find(message_id)
        if record is None:
            raise UnknownMessageError(
                f"no job has the message id {message_id!r} in table {self._settings.jobs_table!r}; "
                f"results are kept for {self._settings.result_ttl_seconds:g} s"
            )
        return record

    async def response(self, record: JobRecord) -> Response:
        """The Response for a record."""
        return await response_of(self._deployment, record)

    async def ensure_loaded(self, label: str, *, recheck: bool = False) -> None:
        """Ensure that some consumer loads the label; `recheck` for jobs that waited long. A TransportError is only logged."""
        try:
            await self._routes.ensure_loaded(label, recheck=recheck)
        except TransportError as error:
            # The job is on its queue: the caller must get its id, and a waiting caller or the next post requests again.
            log.warning("could not ensure that label %r is loaded: %s", label, error)

    async def wait_sent(
        self, sent: SentJob, wait_seconds: float, seconds: float, until: asyncio.Future[Any] | None = None
    ) -> Response:
        """Wait `wait_seconds` seconds, or until `until` is done, for a job that was just sent. It has a record afterwards.

        `seconds` is the timeout that the caller knows.
        """
        job = sent.job
        record = await self._wait(sent.message_id, job.label, wait_seconds, until, posted=not sent.recorded)
        if record is None:
            if not sent.recorded:
                # The caller is about to hand on the message id, and others may poll by it.
                await self._deployment.jobs.submitted(sent.message_id, job)
            record = JobRecord(sent.message_id, job.label, job.request_id, ResultStatus.SUBMITTED)
        sent.recorded = True
        if _is_over(until):
            return await self.response(record)
        return await self._response_or_timeout(sent.message_id, job.label, record, seconds)

    async def wait(self, message_id: str, seconds: float, until: asyncio.Future[Any] | None = None) -> Response:
        """Wait up to `seconds`, or until `until` is done, for a job posted earlier. Raises UnknownMessageError."""
        label = self._posted.get(message_id) or (await self.record(message_id)).label
        record = await self._wait(message_id, label, seconds, until)
        if _is_over(until):
            return await self.response(record or JobRecord(message_id, label, "", ResultStatus.SUBMITTED))
        return await self._response_or_timeout(message_id, label, record, seconds)

    async def as_completed(self, message_ids: Sequence[str], seconds: float) -> AsyncGenerator[Response, None]:
        """Yield each job's Response once, in the order in which the jobs end; after `seconds` the rest come as timeouts.

        Raises UnknownMessageError.
        """
        until = time.monotonic() + seconds
        ended: asyncio.Queue[asyncio.Future[JobRecord]] = asyncio.Queue()
        waiting: dict[str, str] = {}
        try:
            for chunk in _chunks(list(dict.fromkeys(message_ids))):
                labels = {one: self._posted[one] for one in chunk if one in self._posted}
                others = [self.record(message_id) for message_id in chunk if message_id not in labels]
                records = await asyncio.gather(*others)
                labels |= {record.message_id: record.label for record in records if not record.status.finished}
                waiting |= labels
                for message_id, label in labels.items():
                    self._poller.watch(message_id, label).add_done_callback(ended.put_nowait)
                for record in records:
                    if record.status.finished:
                        yield await self.response(record)
            async for record in self._ended(ended, waiting, until):
                yield await self.response(record)
            for chunk in _chunks(list(waiting)):
                for message_id, record_now in zip(chunk, await self._look(chunk), strict=True):
                    yield await self._response_or_timeout(message_id, waiting[message_id], record_now, seconds)
        finally:
            for message_id, label in waiting.items():
                self._poller.forget(message_id, label)

    async def _ended(
        self, ended: asyncio.Queue[asyncio.Future[JobRecord]], waiting: dict[str, str], until: float
    ) -> AsyncIterator[JobRecord]:
        """Yield records as their jobs end and remove them from `waiting`; labels still waiting are looked at again."""
        recheck_at = time.monotonic() + RECHECK_SECONDS
        while waiting and (now := time.monotonic()) < until:
            if now >= recheck_at:
                recheck_at = now + RECHECK_SECONDS
                for label in Counter(waiting.values()):
                    await self.ensure_loaded(label, recheck=True)
            try:
                async with asyncio.timeout(min(until, recheck_at) - now):
                    record = (await ended.get()).result()
            except TimeoutError:
                continue
            del waiting[record.message_id]
            yield record

    async def _look(self, message_ids: Iterable[str]) -> list[JobRecord | None]:
        return await asyncio.gather(*(self._deployment.jobs.get(message_id) for message_id in message_ids))

    async def _wait(
        self,
        message_id: str,
        label: str,
        wait_seconds: float,
        until: asyncio.Future[Any] | None = None,
        *,
        posted: bool = False,
    ) -> JobRecord | None:
        """The finished record, or after `wait_seconds` seconds or `until` the last one seen; None when there was none."""
        waiting = asyncio.ensure_future(self._poller.wait(message_id, label, posted=posted))
        ends: list[asyncio.Future[Any]] = [waiting] if until is None else [waiting, until]
        waits_until = time.monotonic() + wait_seconds
        try:
            while not _any_done(ends) and (left := waits_until - time.monotonic()) > 0:
                await asyncio.wait(ends, timeout=min(left, RECHECK_SECONDS), return_when=asyncio.FIRST_COMPLETED)
                if not _any_done(ends) and left > RECHECK_SECONDS:
                    await self.ensure_loaded(label, recheck=True)
            if waiting.done():
                return waiting.result()
            seen = self._poller.seen(message_id, label)
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
        # The last poll may be a second old, or the only one: a result that is there now still counts.
        return await self._deployment.jobs.get(message_id) or seen

    async def _response_or_timeout(
        self, message_id: str, label: str, record: JobRecord | None, seconds: float
    ) -> Response:
        if record is not None and record.status.finished:
            return await self.response(record)
        status = record.status if record else ResultStatus.SUBMITTED
        error = ResultTimeoutError(
            f"no result within {seconds:g} s, the job is {status.value}; it continues: poll it by its message id, "
            "or raise timeout_seconds"
        )
        return Response(
            message_id=message_id,
            request_id=record.request_id if record else "",
            label=label,
            status=status,
            status_code=500,
            error=_failure(error),
        )


async def response_of(deployment: Deployment, record: JobRecord) -> Response:
    """The Response for a record."""
    status, error, result = record.status, record.error, None
    if status is ResultStatus.SUCCESS:
        try:
            result = await payloads.unpack(deployment.blobs, record.result, record.result_ref)
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
        submitted_at=record.submitted_at or None,
        started_at=record.started_at or None,
        finished_at=record.finished_at or None,
    )


def _any_done(futures: Iterable[asyncio.Future[Any]]) -> bool:
    return any(future.done() for future in futures)


def _is_over(until: asyncio.Future[Any] | None) -> bool:
    return until is not None and until.done()


def _chunks(message_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (message_ids[start : start + CHUNK] for start in range(0, len(message_ids), CHUNK))


def _failure(error: InferenceEngineError) -> JobFailure:
    return JobFailure(type=type(error).__name__, message=str(error))
