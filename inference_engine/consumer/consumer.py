"""Consumer: AsyncConsumer for programs that have no event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from types import TracebackType
from typing import Any, Self

from ..backends.base import Backend
from ..backends.function import DEFAULT_THREADS
from ..deployment import Deployment
from ..settings import Settings
from ..single_queue import DynamoDBClient
from .async_consumer import AsyncConsumer

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Consumer:
    """Takes jobs for the models that it has loaded and computes them.

    Arguments are those of AsyncConsumer, and so is what they raise. `run()` is the whole life of a consumer process.
    `start_consuming()` and `stop_consuming()` are for programs that also do something else.
    """

    def __init__(
        self,
        queue_or_settings: str | Settings | None = None,
        /,
        *,
        settings: Settings | None = None,
        compute_result: Callable[..., Any] | None = None,
        backend: Backend | None = None,
        queue_name: str | None = None,
        ddb_client: DynamoDBClient | None = None,
        max_labels: int | None = None,
        memory_budget_bytes: int | None = None,
        unretryable: tuple[type[BaseException], ...] = (),
        http_port: int | None = None,
        http_host: str = "127.0.0.1",
        consumer_id: str | None = None,
        threads: int = DEFAULT_THREADS,
        connect: Callable[[Settings], Deployment] | None = None,
    ) -> None:
        self._make: Callable[[], AsyncConsumer] = lambda: AsyncConsumer(
            queue_or_settings,
            settings=settings,
            compute_result=compute_result,
            backend=backend,
            queue_name=queue_name,
            ddb_client=ddb_client,
            max_labels=max_labels,
            memory_budget_bytes=memory_budget_bytes,
            unretryable=unretryable,
            http_port=http_port,
            http_host=http_host,
            consumer_id=consumer_id,
            threads=threads,
            connect=connect,
        )
        # Made once here, so that invalid arguments raise at once.
        self._make()
        self._life: _Life | None = None
        # Held only while `_life` changes, and reentrant: a signal handler must not wait for the code that it interrupts.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.start_consuming()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_consuming()

    @property
    def http_port(self) -> int | None:
        """The port that serves health and metrics; None before the start, or without `http_port`."""
        core = self._life.core if self._life else None
        return core.http_port if core else None

    def start_consuming(self) -> None:
        """Begin to take jobs on a thread that keeps the process alive. Returns once the consumer has joined the fleet.

        Raises what AsyncConsumer.start raises. If a signal handler or another thread calls `stop_consuming()` meanwhile, the
        start ends: this call returns too, and no job is taken, as if the consumer had been stopped right after its start.
        """
        with self._lock:
            life, new = self._life, self._life is None
            if life is None:
                life = self._life = _Life(self._make)
        try:
            if new:
                life.begin()
            life.started.result()
        except BaseException:
            # The start failed, or the waiting caller was interrupted (ctrl-C): the consumer must not go on unseen.
            with self._lock:
                if self._life is life:
                    self._life = None
            life.end()
            raise

    def stop_consuming(self, drain_seconds: float | None = None) -> None:
        """Drain for at most `drain_seconds`, leave the fleet, and return when no job is left here. Ends a start in progress.

        May be called in a signal handler. It is not an error if the consumer was never started or is already stopping. During
        `run()` this does not wait: `run()` returns instead.
        """
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.end(drain_seconds)

    def run(self) -> None:
        """Take jobs until SIGTERM or SIGINT, then drain and leave the fleet. For the main thread only.

        A second signal ends the process at once, with that signal; its jobs come back after their visibility timeout. Raises
        what AsyncConsumer.start raises.
        """
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        life = self._life = _Life(self._make)

        def on_signal(number: signal.Signals) -> None:
            log.info("%s: draining; a second signal ends the process at once", number.name)
            for ours in _SIGNALS:
                loop.remove_signal_handler(ours)
                # A loop or thread that is stuck in a user's function could not end the process itself.
                signal.signal(ours, signal.SIG_DFL)
            life.ask()

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            await life.live()
        finally:
            self._life = None
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


class _Life:
    """One run of a consumer from start to stop: on the running loop (`live`), or on a thread of its own (`begin`, `end`).

    Nothing here waits for the thread that called `begin`: a signal handler on that thread may call `end` at any moment.
    """

    def __init__(self, make: Callable[[], AsyncConsumer]) -> None:
        self.core: AsyncConsumer | None = None
        #: Done when the consumer has started or was stopped before that; holds the exception if the start failed.
        self.started: Future[None] = Future()
        self._make = make
        self._asked: Future[float | None] = Future()
        self._ended: Future[None] = Future()
        self._cancel: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="inference-engine-consumer", daemon=False)

    def ask(self, drain_seconds: float | None = None) -> None:
        """Request a stop. Only the first request sets `drain_seconds`."""
        with contextlib.suppress(InvalidStateError):
            self._asked.set_result(drain_seconds)

    async def live(self) -> None:
        """Start, wait for the request to stop, drain and leave. Raises what the start and the stop raise."""
        core = self.core = self._make()
        starting, asking = asyncio.create_task(core.start()), asyncio.wrap_future(self._asked)
        either: list[asyncio.Future[Any]] = [starting, asking]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # No effect on a start that has ended.
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled():
                await starting
                self.started.set_result(None)
                await core.stop(await asking)
        finally:
            # Later requests to stop have no effect.
            asking.cancel()

    def begin(self) -> None:
        """Run `live` on the thread; `started` reports the outcome of the start."""
        self._thread.start()

    def end(self, drain_seconds: float | None = None) -> None:
        """Ask the thread to stop and wait until it has. An interrupted wait (ctrl-C) abandons the drain."""
        self.ask(drain_seconds)
        if self._thread.ident is None:
            # Not begun yet: the thread will stop as soon as it begins.
            return
        try:
            self._ended.result()
        except BaseException:
            self._cancel()
            raise
        finally:
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._cancellable())
        except BaseException as error:
            told = self._ended if self.started.done() else self.started
            told.set_exception(error)
        for future in (self.started, self._ended):
            if not future.done():
                future.set_result(None)

    async def _cancellable(self) -> None:
        loop, living = asyncio.get_running_loop(), asyncio.create_task(self.live())

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):  # it is over
                loop.call_soon_threadsafe(living.cancel)

        self._cancel = cancel
        await living
