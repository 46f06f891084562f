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
from ..aws.client import DynamoDBClient
from ..deployment import Deployment
from ..errors import InferenceEngineError
from ..jobs.job import Response, ResultStatus
from ..settings import Settings
from .async_producer import AsyncProducer

_producers: weakref.WeakSet[Producer] = weakref.WeakSet()


class Producer:
    """Posts jobs by label and collects their results. Any number of threads may share one; it also works after a fork.

    A thin blocking wrapper around an AsyncProducer on a background event loop, so calls from many threads share AWS requests.
    Arguments and methods are those of AsyncProducer. Close it, or use it with `with`.

    >>> with Producer() as producer:                                    # doctest: +SKIP
    ...     producer.post({"text": "hello"}, label="all-minilm-l6-v2").result
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        queue_name: str | None = None,
        ddb_client: DynamoDBClient | None = None,
        timeout_seconds: float | None = None,
        _connect: Callable[[Settings], Deployment] | None = None,
    ) -> None:
        # Invalid settings raise here, not in the first post.
        self._settings = settings or Settings()
        self._arguments: dict[str, Any] = {
            "queue_name": queue_name,
            "ddb_client": ddb_client,
            "timeout_seconds": timeout_seconds,
            "_connect": _connect or partial(Deployment.for_producer, threads=True),
        }
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
        return AsyncProducer(self._settings, **self._arguments)

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

    def post_non_blocking(self, body: Any, label: str | None = None, **options: Any) -> str:
        """See AsyncProducer.post_non_blocking."""
        loop, core = self._started()
        return loop.call(core.post_non_blocking(body, label, **options))

    def post_many(self, bodies: Iterable[Any], label: str | None = None, **options: Any) -> list[str]:
        """See AsyncProducer.post_many."""
        loop, core = self._started()
        return loop.call(core.post_many(bodies, label, **options))

    def post(
        self, body: Any, label: str | None = None, *, timeout_seconds: float | None = None, **options: Any
    ) -> Response:
        """See AsyncProducer.post."""
        loop, core = self._started()
        return loop.call(core.post(body, label, timeout_seconds=self._timeout(timeout_seconds), **options))

    def wait(self, message_id: str, *, timeout_seconds: float | None = None) -> Response:
        """See AsyncProducer.wait."""
        loop, core = self._started()
        return loop.call(core.wait(message_id, timeout_seconds=self._timeout(timeout_seconds)))

    def retrieve_result_status(self, message_id: str) -> ResultStatus:
        """See AsyncProducer.retrieve_result_status."""
        loop, core = self._started()
        return loop.call(core.retrieve_result_status(message_id))

    def retrieve_result(self, message_id: str) -> Response:
        """See AsyncProducer.retrieve_result."""
        loop, core = self._started()
        return loop.call(core.retrieve_result(message_id))

    def cancel(self, message_id: str) -> bool:
        """See AsyncProducer.cancel."""
        loop, core = self._started()
        return loop.call(core.cancel(message_id))

    def as_completed(
        self, message_ids: Sequence[str], *, timeout_seconds: float | None = None, progress: bool = False
    ) -> Iterator[Response]:
        """See AsyncProducer.as_completed."""
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
