"""Consumer: AsyncConsumer for programs that have no event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from ..aws.client import DynamoDBClient
from ..backends.base import Backend
from ..background import BackgroundLoop
from ..settings import Settings
from .async_consumer import AsyncConsumer

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Consumer:
    """Takes jobs of the models that it has loaded and computes them. Arguments mean what they mean for AsyncConsumer.

    `run()` is the whole life of a consumer process; `start_consuming()` and `stop_consuming()` are for programs that do
    something else besides.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        compute_result: Callable[..., Any] | None = None,
        backend: Backend | None = None,
        queue_name: str | None = None,
        ddb_client: DynamoDBClient | None = None,
        max_labels: int | None = None,
        memory_budget_bytes: int | None = None,
        **options: Any,
    ) -> None:
        arguments: dict[str, Any] = {
            "compute_result": compute_result,
            "backend": backend,
            "queue_name": queue_name,
            "ddb_client": ddb_client,
            "max_labels": max_labels,
            "memory_budget_bytes": memory_budget_bytes,
            **options,
        }
        self._make: Callable[[], AsyncConsumer] = lambda: AsyncConsumer(settings, **arguments)
        # Made once here, so that wrong arguments are told at once.
        self._make()
        self._loop: BackgroundLoop | None = None
        self._core: AsyncConsumer | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start_consuming()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_consuming()

    @property
    def http_port(self) -> int | None:
        """The port of health and metrics, once started."""
        return self._core.http_port if self._core else None

    def start_consuming(self) -> None:
        """Begin to take jobs, on a thread that keeps the process alive; returns once it has joined the fleet."""
        with self._lock:
            if self._core is not None:
                return
            loop = BackgroundLoop("inference-engine-consumer", daemon=False)
            try:
                core = loop.call(_make(self._make))
                loop.call(core.start())
            except BaseException:
                loop.close()
                raise
            self._loop, self._core = loop, core

    def stop_consuming(self, drain_seconds: float | None = None) -> None:
        """Drain and leave; returns when no job is here any more."""
        with self._lock:
            loop, core, self._loop, self._core = self._loop, self._core, None, None
        if loop is not None and core is not None:
            try:
                loop.call(core.stop(drain_seconds))
            finally:
                loop.close()

    def run(self) -> None:
        """Take jobs until SIGTERM or SIGINT, then drain and leave. For the main thread only.

        A second signal ends the process at once, by that signal: jobs come back after their visibility timeout.
        """
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def on_signal(number: signal.Signals) -> None:
            log.info("%s: draining; a second signal ends the process at once", number.name)
            for ours in _SIGNALS:
                loop.remove_signal_handler(ours)
                # A loop or a thread that is stuck in somebody's function could not end the process itself.
                signal.signal(ours, signal.SIG_DFL)
            asked.set()

        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        core = self._core = await _make(self._make)
        starting, asking = loop.create_task(core.start()), loop.create_task(asked.wait())
        await asyncio.wait([starting, asking], return_when=asyncio.FIRST_COMPLETED)
        # Nothing happens to a start that has ended.
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            await asking
            await core.stop()
        self._core = None


async def _make(make: Callable[[], AsyncConsumer]) -> AsyncConsumer:
    return make()
