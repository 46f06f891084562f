"""AsyncProducer: posts jobs and waits for their results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from ..deployment import Deployment
from ..errors import InferenceEngineError, needs
from ..jobs.job import Response, ResultStatus
from ..settings import Settings
from ..single_queue import DynamoDBClient, settings_and_queue
from .preparation import Given, Preparation, Prepared
from .results import Results
from .routes import LabelRoutes, Routes, SingleQueueRoutes
from .submission import AsyncSubmission, SentJob

#: Jobs that one `post_many` sends at once: 50 full requests to SQS.
POST_TOGETHER = 500


class AsyncProducer:
    """Posts jobs by label and collects their results, on asyncio.

    Concurrent calls are coalesced into batched AWS requests; a lone call is sent at once. One instance serves any number of
    tasks of one event loop. Use it with `async with`, or `await close()`.

    The first argument is the name of a queue or Settings, as are `queue_name` and `settings`. With a queue, all jobs go to that
    one FIFO queue and take no label; `ddb_client` names the table of their records. Without settings, they come from the
    environment. `timeout_seconds` is how long `post` and `wait` wait by default, instead of `settings.timeout_seconds`.
    `connect` makes the way to AWS, which the producer closes; by default `Deployment.for_producer`.

    Raises SettingsError where an argument or a setting is wrong.
    """

    def __init__(
        self,
        queue_or_settings: str | Settings | None = None,
        /,
        *,
        settings: Settings | None = None,
        queue_name: str | None = None,
        ddb_client: DynamoDBClient | None = None,
        timeout_seconds: float | None = None,
        connect: Callable[[Settings], Deployment] | None = None,
    ) -> None:
        settings, queue_name = settings_and_queue(queue_or_settings, settings, queue_name, ddb_client)
        self.settings = settings
        self.timeout_seconds = settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        self._deployment = (connect or Deployment.for_producer)(settings)
        self._closed = False
        self._requesting: set[asyncio.Future[None]] = set()
        self._routes: Routes = (
            LabelRoutes(self._deployment) if queue_name is None else SingleQueueRoutes(self._deployment, queue_name)
        )
        self._preparation = Preparation(self._deployment, self._routes, single_queue=queue_name is not None)
        self._results = Results(self._deployment, self._routes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish sends in progress and close all connections. Posted jobs continue.

        If this call is cancelled, the connections still close, and sends in progress may be lost.
        """
        self._closed = True
        try:
            await self._results.close()
            await asyncio.gather(*self._requesting, return_exceptions=True)
            await self._routes.close()
        finally:
            await self._deployment.close()

    async def post_non_blocking(
        self,
        body: Any,
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
        callback_url: str | None = None,
        keep_body: bool = False,
    ) -> str:
        """Put a job on its label's queue and return the SQS message id, under which its result is kept.

        `body` is anything the codec can encode (JSON values, numpy arrays, bytes). After `deadline` (Unix time in seconds), the
        job is no longer computed and ends as EXPIRED. A `dedup_key` seen within the last five minutes creates no second job:
        the call returns the first job's message id (SQS Developer Guide, "exactly-once processing"). `request_id` is the
        caller's own name for the job and is returned in the Response.

        Status changes are delivered to `callback_url`, where webhooks are deployed. With `keep_body`, the job's record keeps
        the body as long as the result: a body of up to 32 KB in the record itself, a larger one in the bucket.

        Raises LabelError where a label is missing or must not be given, InvalidLabelError, UnknownLabelError, EncodeError,
        PayloadTooLargeError, CallbackError, TransportError.
        """
        given = Given(deadline, request_id, dedup_key, callback_url, keep_body)
        self._check_open()
        prepared = await self._preparation.prepare(body, label, given)
        message_id = await self._send_recorded(prepared)
        await self._results.ensure_loaded(prepared.job.label)
        return message_id

    async def _send_recorded(self, prepared: Prepared) -> str:
        """Send a job, write its record and return the message id, by which anyone may ask for the job from now on."""
        message_id = await self._deployment.queues.send(prepared.url, prepared.message)
        await self._deployment.jobs.submitted(message_id, prepared.job)
        self._results.posted(message_id, prepared.job.label)
        return message_id

    async def post_many(
        self,
        bodies: Iterable[Any],
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        callback_url: str | None = None,
        keep_body: bool = False,
    ) -> list[str]:
        """Post a job for each body, in order, in as few requests as possible. Returns the message ids in the same order.

        The other arguments are those of `post_non_blocking` and apply to all jobs. `bodies` may be a generator of any length:
        only some of its bodies are held in memory at a time. If some jobs cannot be posted, all others are sent before the
        first error is raised.
        """
        given = Given(deadline, request_id, None, callback_url, keep_body)
        sent: list[str | BaseException] = []
        waiting = iter(bodies)
        while chunk := list(itertools.islice(waiting, POST_TOGETHER)):
            self._check_open()
            # A large body takes a while to prepare. All jobs are ready before the first is sent, so none overtakes another.
            prepared = await asyncio.gather(
                *(self._preparation.prepare(body, label, given) for body in chunk), return_exceptions=True
            )
            sent += await asyncio.gather(
                *(self._send_recorded(one) if isinstance(one, Prepared) else _fail(one) for one in prepared),
                return_exceptions=True,
            )
            await self._results.ensure_loaded(self._preparation.label(label))
        for outcome in sent:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in sent if isinstance(outcome, str)]

    async def post(
        self,
        body: Any,
        label: str | None = None,
        *,
        timeout_seconds: float | None = None,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
    ) -> Response:
        """Post a job and wait at most `timeout_seconds` for its Response. The other arguments are those of `post_non_blocking`.

        The Response reports the outcome of the job, including a timeout (`status_code` 200 or 500). Raises what
        `post_non_blocking` raises where the job cannot be posted.
        """
        started = time.monotonic()
        sent = await self._send_unrecorded(body, label, Given(deadline, request_id, dedup_key))
        # The body is sent: do not hold it in memory while waiting for the result.
        del body
        seconds = self._timeout(timeout_seconds)
        return await self._results.wait_sent(sent, seconds - (time.monotonic() - started), seconds)

    async def submit(
        self,
        body: Any,
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
    ) -> AsyncSubmission:
        """Put a job on its label's queue, as the first half of `post`: the second half is the submission's `wait`.

        The caller knows the message id while it waits, and may end the wait early. Unlike `post_non_blocking`, this writes no
        record, so only the caller can get the result of the waiting job. The body is not held here once this has returned.

        The arguments are those of `post_non_blocking`; raises what it raises.
        """
        sent = await self._send_unrecorded(body, label, Given(deadline, request_id, dedup_key))
        return AsyncSubmission(sent, self._wait_sent)

    async def _send_unrecorded(self, body: Any, label: str | None, given: Given) -> SentJob:
        self._check_open()
        prepared = await self._preparation.prepare(body, label, given, recorded=False)
        message_id = await self._deployment.queues.send(prepared.url, prepared.message)
        # A slow load request must not delay a result that is already there.
        requesting = asyncio.ensure_future(self._results.ensure_loaded(prepared.job.label))
        self._requesting.add(requesting)
        requesting.add_done_callback(self._requesting.discard)
        # Nobody else knows the message id, so there is no need to write a record for others to find.
        return SentJob(message_id, prepared.job.model_copy(update={"body": None}))

    async def _wait_sent(
        self, sent: SentJob, timeout_seconds: float | None, until: Awaitable[object] | None = None
    ) -> Response:
        seconds = self._timeout(timeout_seconds)
        async with _future(until) as ended:
            self._check_open()
            return await self._results.wait_sent(sent, seconds, seconds, ended)

    async def wait(
        self,
        message_id: str,
        *,
        timeout_seconds: float | None = None,
        until: Awaitable[object] | None = None,
    ) -> Response:
        """Wait at most `timeout_seconds`, or until `until` is done, for the Response of a job that was posted before.

        `until` is as in AsyncSubmission.wait. Raises UnknownMessageError, TransportError.
        """
        seconds = self._timeout(timeout_seconds)
        async with _future(until) as ended:
            self._check_open()
            return await self._results.wait(message_id, seconds, ended)

    async def retrieve_result_status(self, message_id: str) -> ResultStatus:
        """Return a job's current status. Raises UnknownMessageError."""
        self._check_open()
        return (await self._results.record(message_id)).status

    async def retrieve_result(self, message_id: str) -> Response:
        """Return a job's Response as it stands now, with status code 202 while it is unfinished. Raises UnknownMessageError."""
        self._check_open()
        return await self._results.response(await self._results.record(message_id))

    async def cancel(self, message_id: str) -> bool:
        """Cancel an unfinished job. Returns True if it will have no other result.

        A waiting job is not computed. A running job is not interrupted, but its result is dropped.
        Raises UnknownMessageError.
        """
        self._check_open()
        await self._results.record(message_id)
        return await self._deployment.jobs.cancel(message_id)

    async def as_completed(
        self, message_ids: Sequence[str], *, timeout_seconds: float | None = None, progress: bool = False
    ) -> AsyncIterator[Response]:
        """Yield the Responses of many jobs in the order in which they end.

        After `timeout_seconds` in total, the remaining jobs are reported as timeouts. `progress` shows a progress bar (needs the
        `progress` extra). Raises UnknownMessageError.
        """
        self._check_open()
        seconds = self._timeout(timeout_seconds)
        bar = _bar(len(message_ids)) if progress else None
        try:
            async with contextlib.aclosing(self._results.as_completed(message_ids, seconds)) as responses:
                async for response in responses:
                    if bar is not None:
                        bar.update()
                    yield response
        finally:
            if bar is not None:
                bar.close()

    def _timeout(self, timeout_seconds: float | None) -> float:
        return self.timeout_seconds if timeout_seconds is None else timeout_seconds

    def _check_open(self) -> None:
        if self._closed:
            raise InferenceEngineError(f"this {type(self).__name__} is closed; make a new one")


@contextlib.asynccontextmanager
async def _future(until: Awaitable[object] | None) -> AsyncIterator[asyncio.Future[Any] | None]:
    """What a caller gave to end its wait, as a future. A task that is made for that ends with the block."""
    future = None if until is None else asyncio.ensure_future(until)
    try:
        yield future
    finally:
        if future is not None and future is not until:
            future.cancel()
            await asyncio.gather(future, return_exceptions=True)


async def _fail(error: BaseException) -> NoReturn:
    raise error


def _bar(total: int) -> Any:
    with needs("progress"):
        from tqdm import tqdm
    return tqdm(total=total, unit="job")
