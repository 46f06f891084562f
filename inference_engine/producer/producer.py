"""Producer: the blocking form of AsyncProducer, for threads."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from ..aio.background import BackgroundLoop
from ..deployment import Deployment
from ..errors import InferenceEngineError
from ..jobs.job import Response, ResultStatus
from ..settings import Settings
from ..single_queue import DynamoDBClient, settings_and_queue
from .async_producer import AsyncProducer
from .submission import SentJob, Submission

_producers: weakref.WeakSet[Producer] = weakref.WeakSet()


class Producer:
    """Posts jobs by label and collects their results. Any number of threads may share one; it also works after a fork.

    A thin blocking wrapper around an AsyncProducer on a background event loop, so calls from many threads share AWS requests.
    Arguments and methods are those of AsyncProducer, and so is what they raise. `connect` is called once more after a fork, and
    by default it makes a way to AWS that needs no extra. Close the producer, or use it with `with`.

    >>> with Producer() as producer:                                    # doctest: +SKIP
    ...     producer.post({"text": "hello"}, label="all-minilm-l6-v2").result
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
        # Invalid settings raise here, not in the first post.
        self._settings, self._queue_name = settings_and_queue(queue_or_settings, settings, queue_name, ddb_client)
        self._connect = connect or partial(Deployment.for_producer, threads=True)
        self.timeout_seconds = self._settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        self._closed = False
        self._reset()
        _producers.add(self)

    def _reset(self) -> None:
        """Drop the loop and its connections: in a forked child the thread is gone and the sockets belong to the parent."""
        self._lock = threading.Lock()
        self._loop: BackgroundLoop | None = None
        self._core: AsyncProducer | None = None

    def _started(self) -> tuple[BackgroundLoop, AsyncProducer]:
        with self._lock:
            if self._closed:
                raise InferenceEngineError("this Producer is closed; make a new one")
            if self._loop is None or self._core is None:
                self._loop = BackgroundLoop("inference-engine-producer")
                self._core = self._loop.call(self._make())
            return self._loop, self._core

    async def _make(self) -> AsyncProducer:
        return AsyncProducer(self._settings, queue_name=self._queue_name, connect=self._connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish sends in progress and close all connections. Posted jobs continue."""
        with self._lock:
            self._closed = True
            loop, core, self._loop, self._core = self._loop, self._core, None, None
        if loop is not None and core is not None:
            loop.call(core.close())
            loop.close()

    def post_non_blocking(
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
        """Put a job on its label's queue and return its message id. See AsyncProducer.post_non_blocking."""
        loop, core = self._started()
        return loop.call(
            core.post_non_blocking(
                body,
                label,
                deadline=deadline,
                request_id=request_id,
                dedup_key=dedup_key,
                callback_url=callback_url,
                keep_body=keep_body,
            )
        )

    def post_many(
        self,
        bodies: Iterable[Any],
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        callback_url: str | None = None,
        keep_body: bool = False,
    ) -> list[str]:
        """Post a job for each body, in order, and return their message ids. See AsyncProducer.post_many."""
        loop, core = self._started()
        return loop.call(
            core.post_many(
                bodies, label, deadline=deadline, request_id=request_id, callback_url=callback_url, keep_body=keep_body
            )
        )

    def post(
        self,
        body: Any,
        label: str | None = None,
        *,
        timeout_seconds: float | None = None,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
    ) -> Response:
        """Post a job and wait at most `timeout_seconds` for its Response. See AsyncProducer.post."""
        loop, core = self._started()
        return loop.call(
            core.post(
                body,
                label,
                timeout_seconds=self._timeout(timeout_seconds),
                deadline=deadline,
                request_id=request_id,
                dedup_key=dedup_key,
            )
        )

    def submit(
        self,
        body: Any,
        label: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
        dedup_key: str | None = None,
    ) -> Submission:
        """Put a job on its label's queue, as the first half of `post`. See AsyncProducer.submit."""
        loop, core = self._started()
        submission = loop.call(core.submit(body, label, deadline=deadline, request_id=request_id, dedup_key=dedup_key))
        return Submission(submission._sent, self._wait_sent)

    def _wait_sent(self, sent: SentJob, timeout_seconds: float | None) -> Response:
        # Of this moment: in a forked child, the producer has another core than the one that sent the job.
        loop, core = self._started()
        return loop.call(core._wait_sent(sent, self._timeout(timeout_seconds)))

    def wait(self, message_id: str, *, timeout_seconds: float | None = None) -> Response:
        """Wait at most `timeout_seconds` for the Response of a job that was posted before. See AsyncProducer.wait."""
        loop, core = self._started()
        return loop.call(core.wait(message_id, timeout_seconds=self._timeout(timeout_seconds)))

    def retrieve_result_status(self, message_id: str) -> ResultStatus:
        """Return a job's current status. See AsyncProducer.retrieve_result_status."""
        loop, core = self._started()
        return loop.call(core.retrieve_result_status(message_id))

    def retrieve_result(self, message_id: str) -> Response:
        """Return a job's Response as it stands now. See AsyncProducer.retrieve_result."""
        loop, core = self._started()
        return loop.call(core.retrieve_result(message_id))

    def cancel(self, message_id: str) -> bool:
        """Cancel an unfinished job; True if it will have no other result. See AsyncProducer.cancel."""
        loop, core = self._started()
        return loop.call(core.cancel(message_id))

    def as_completed(
        self, message_ids: Sequence[str], *, timeout_seconds: float | None = None, progress: bool = False
    ) -> Iterator[Response]:
        """Yield the Responses of many jobs in the order in which they end. See AsyncProducer.as_completed."""
        loop, core = self._started()
        responses = core.as_completed(message_ids, timeout_seconds=self._timeout(timeout_seconds), progress=progress)
        try:
            while True:
                try:
                    yield loop.call(anext(responses))  # type: ignore[arg-type]
                except StopAsyncIteration:
                    return
        finally:
            loop.call(responses.aclose())  # type: ignore[attr-defined]

    def _timeout(self, timeout_seconds: float | None) -> float:
        # Read on each call: the single-queue API lets applications set `producer.timeout_seconds`.
        return self.timeout_seconds if timeout_seconds is None else timeout_seconds


def _after_fork_in_child() -> None:
    for producer in _producers:
        producer._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
