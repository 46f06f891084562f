"""AsyncConsumer: takes jobs for the labels that it holds, computes them and writes their results."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from ..backends.base import Backend
from ..backends.function import DEFAULT_THREADS, FunctionBackend
from ..deployment import Deployment
from ..errors import BackendLostError, SettingsError
from ..fleet.placement import ConsumerCapacity
from ..settings import Settings
from ..single_queue import DynamoDBClient, settings_and_queue
from .assignment import Assignment, FixedQueue, PlacedLabels, quietly
from .ecs_protection import TaskProtection
from .in_flight import InFlight
from .metrics import ConsumerMetrics
from .polling import Polling
from .runner import JobRunner
from .slots import Slots
from .status_server import State, StatusServer

log = logging.getLogger(__name__)

#: Slots of a consumer whose capacity is not set.
DEFAULT_MAX_LABELS = 4
#: Interval between health checks of the backend, and between attempts to reconnect to a lost one.
HEALTH_SECONDS = 2.0


class AsyncConsumer:
    """A consumer on asyncio: `async with`, or `start()` and `stop()`.

    The first argument is the name of a queue or Settings, as are `queue_name` and `settings`. With a queue, the consumer serves
    that one FIFO queue and takes no part in placement; `ddb_client` names the table of job records. Without settings, they
    come from the environment.

    Jobs are computed by `compute_result` (a function on `threads` threads, see FunctionBackend) or by a `backend`. Capacity is
    `max_labels` (4 by default), or `memory_budget_bytes` against the models' measured sizes, or both. An exception of a type in
    `unretryable` fails its job at once; after any other, the job is retried up to `settings.max_attempts`.

    With `http_port` (0: any free port) the consumer serves health and metrics at the address `http_host`. `consumer_id` is its
    name in the registry and in metrics, by default made of the machine's name, the process and a random part. `connect` makes
    the way to AWS, on the running loop, and the consumer closes it; by default `Deployment.for_consumer`.

    Raises SettingsError where an argument or a setting is wrong.
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
        settings, queue_name = settings_and_queue(queue_or_settings, settings, queue_name, ddb_client)
        if (compute_result is None) == (backend is None):
            raise SettingsError("a consumer needs either compute_result=your_function or backend=…, not both")
        _check_capacity(max_labels, memory_budget_bytes)
        self.settings = settings
        self.consumer_id = consumer_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.metrics = ConsumerMetrics()
        self._backend: Backend = backend or FunctionBackend(compute_result, threads=threads)  # type: ignore[arg-type]
        self._queue_name = queue_name
        self._connect = connect or Deployment.for_consumer
        if max_labels is None and memory_budget_bytes is None:
            max_labels = DEFAULT_MAX_LABELS
        self._capacity = ConsumerCapacity(max_labels, memory_budget_bytes)
        self._unretryable = unretryable
        self._http = (
            StatusServer(http_host, http_port, self._state, self.metrics.registry) if http_port is not None else None
        )
        self._protection = TaskProtection()
        self._tasks: list[asyncio.Task[None]] = []
        self._lost = asyncio.Event()
        self._lost_labels: set[str] = set()
        self._stopped = False
        self._ready = False

    @property
    def http_port(self) -> int | None:
        """The port that serves health and metrics, once started; None without `http_port`."""
        return self._http.port if self._http else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, join the fleet and begin to take jobs.

        Raises BackendLostError, TransportError (NotProvisionedError where a resource is missing), OSError where the port is
        taken; with `queue_name` also ModelLoadError.
        """
        self._build()
        try:
            await self._backend.start()
            if self._http is not None:
                await self._http.start()
            await self._begin()
        except BaseException:
            self._stopped = True
            await self._close()
            raise
        self._ready = True
        log.info("consumer %s started", self.consumer_id)

    async def _begin(self) -> None:
        await self._assignment.begin()
        loops = [self._in_flight.beat(), self._protection.run(), self._watch_backend(), *self._assignment.loops()]
        self._tasks = [self._forever(loop) for loop in loops]

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Drain, then leave the fleet. Jobs still running after `drain_seconds` go back to their queues.

        By default `settings.drain_seconds`. A second call does nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        self._ready = False
        self._polling.stop()
        await self._assignment.drain()
        await self._polling.drain(self.settings.drain_seconds if drain_seconds is None else drain_seconds)
        # A message sent to a poll whose connection is closed stays hidden for its whole visibility timeout.
        await self._assignment.settled()
        await self._polling.ended()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await quietly(self._assignment.leave())
        await self._close()
        log.info("consumer %s stopped", self.consumer_id)

    async def _close(self) -> None:
        await self._assignment.close()
        if self._http is not None:
            await self._http.stop()
        await self._backend.close()
        await self._deployment.close()

    def _build(self) -> None:
        """Make the parts that need a running loop."""
        self._deployment = self._connect(self.settings)
        self._in_flight = InFlight(
            self._deployment.queues, self.settings.visibility_timeout_seconds, self.settings.heartbeat_seconds
        )
        runner = JobRunner(
            self._deployment, self._backend, self._in_flight, self.metrics, self.consumer_id, self._unretryable
        )
        self._slots = Slots()
        self._polling = Polling(
            self._deployment, self._slots, self._in_flight, runner, self._backend_lost, self._protection.edge
        )
        self._assignment: Assignment
        if self._queue_name is not None:
            self._assignment = FixedQueue(self._deployment, self._backend, self._slots, self._polling, self._queue_name)
        else:
            self._assignment = PlacedLabels(
                self._deployment,
                self._backend,
                self._slots,
                self._polling,
                self._in_flight,
                runner,
                self.metrics,
                self._capacity,
                self.consumer_id,
            )

    def _backend_lost(self, label: str) -> None:
        self._lost_labels.add(label)
        self._lost.set()

    async def _watch_backend(self) -> None:
        """Run forever: detect a lost backend, give its labels up, wait until it is back."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), HEALTH_SECONDS)
            self._lost.clear()
            lost, self._lost_labels = self._lost_labels, set()
            if await self._backend.healthy():
                await self._assignment.lost(lost)
            else:
                await self._outage()

    async def _outage(self) -> None:
        log.error("backend lost; the consumer gives up its labels until the backend is back")
        self._ready = False
        await self._assignment.outage()
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            with contextlib.suppress(BackendLostError):
                await self._backend.start()
                break
        log.info("backend is back")
        self._lost_labels.clear()
        self._lost.clear()
        await self._assignment.restored()
        self._ready = True

    def _forever(self, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(loop)
        task.add_done_callback(_report)
        return task

    def _state(self) -> State:
        in_flight = len(self._in_flight)
        held = sorted(loaded.label for loaded in self._slots.serving)
        self.metrics.now(in_flight=in_flight, loaded=len(held))
        stats = {"consumer_id": self.consumer_id, "held": held, "labels": self.metrics.snapshot()}
        return State(ready=self._ready, busy=in_flight > 0, stats=stats)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background loop of the consumer failed; restart the consumer", exc_info=error)


def _check_capacity(max_labels: int | None, memory_budget_bytes: int | None) -> None:
    for name, value in (("max_labels", max_labels), ("memory_budget_bytes", memory_budget_bytes)):
        if value is not None and value < 1:
            raise SettingsError(f"{name}={value} leaves no room for a single model; give at least 1, or leave it out")
