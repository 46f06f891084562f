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

from ..aws.client import DynamoDBClient
from ..backends.base import Backend
from ..backends.function import DEFAULT_THREADS, FunctionBackend
from ..deployment import Aws
from ..errors import BackendLostError, SettingsError, TransportError
from ..fleet.placement import Capacity
from ..labels import SINGLE_QUEUE_LABEL
from ..settings import Settings
from .ecs_protection import TaskProtection
from .in_flight import Deliveries
from .loading import Loader
from .membership import Membership
from .metrics import Metrics
from .placer import Placer
from .runner import JobRunner
from .slots import POLLS_MAX, Host, Hosting
from .status_server import State, StatusServer

log = logging.getLogger(__name__)

#: Slots of a consumer whose capacity is not set.
DEFAULT_MAX_LABELS = 4
#: Interval between health checks of the backend, and between attempts to reconnect to a lost one.
HEALTH_SECONDS = 2.0
#: A long poll returns within its wait time plus this.
POLL_MARGIN_SECONDS = 5.0


class AsyncConsumer:
    """A consumer on asyncio: `async with`, or `start()` and `stop()`.

    Jobs are computed by `compute_result` (a function, see FunctionBackend) or by a `backend`. Capacity is `max_labels`, or
    `memory_budget_bytes` against the models' measured sizes, or both. An exception of a type in `unretryable` fails its job at
    once; after any other, the job is retried up to `settings.max_attempts`. With `http_port` (0: any free port) the consumer
    serves health and metrics.

    With `queue_name`, the consumer serves that one queue and takes no part in placement.

    Raises SettingsError where an argument or a setting is wrong.
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
        unretryable: tuple[type[BaseException], ...] = (),
        http_port: int | None = None,
        http_host: str = "127.0.0.1",
        consumer_id: str | None = None,
        threads: int = DEFAULT_THREADS,
        _connect: Callable[[Settings], Aws] = Aws.for_consumer,
    ) -> None:
        if (compute_result is None) == (backend is None):
            raise SettingsError("a consumer needs either compute_result=your_function or backend=…, not both")
        _check_capacity(max_labels, memory_budget_bytes)
        settings = settings or Settings()
        if ddb_client is not None:
            changed = {"jobs_table": ddb_client.table, "region": ddb_client.region or settings.region}
            settings = settings.model_copy(update=changed)
        self.settings = settings
        self.consumer_id = consumer_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.metrics = Metrics()
        self._backend: Backend = backend or FunctionBackend(compute_result, threads=threads)  # type: ignore[arg-type]
        self._queue_name = queue_name
        self._connect = _connect
        if max_labels is None and memory_budget_bytes is None:
            max_labels = DEFAULT_MAX_LABELS
        self._capacity = Capacity(max_labels, memory_budget_bytes)
        self._unretryable = unretryable
        self._http = (
            StatusServer(http_host, http_port, self._state, self.metrics.registry) if http_port is not None else None
        )
        self._protection = TaskProtection()
        self._tasks: list[asyncio.Task[None]] = []
        self._placement: asyncio.Task[None] | None = None
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
        if self._queue_name is not None:
            await self._serve_single_queue(self._queue_name)
        else:
            await self._membership.publish()
        loops = [self._deliveries.beat(), self._protection.run(), self._watch_backend()]
        if self._queue_name is None:
            loops.append(self._membership.keep_lease())
            self._placement = self._forever(self._placer.run())
        self._tasks = [self._forever(loop) for loop in loops] + ([self._placement] if self._placement else [])

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Drain, then leave the fleet. Jobs still running after `drain_seconds` go back to their queues."""
        if self._stopped:
            return
        self._stopped = True
        self._ready = False
        self._membership.draining = self._hosting.stopping = True
        await self._quietly(self._announce())
        await self._quietly(self._ring_for_held())
        await self._hosting.drain(self.settings.drain_seconds if drain_seconds is None else drain_seconds)
        await self._polls_ended()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._quietly(self._hand_over())
        await self._close()
        log.info("consumer %s stopped", self.consumer_id)

    async def _close(self) -> None:
        await self._loader.close()
        if self._http is not None:
            await self._http.stop()
        await self._backend.close()
        await self._aws.close()

    def _build(self) -> None:
        """Make the parts that need a running loop."""
        self._aws = self._connect(self.settings)
        self._deliveries = Deliveries(
            self._aws.queues, self.settings.visibility_timeout_seconds, self.settings.heartbeat_seconds
        )
        runner = JobRunner(
            self._aws, self._backend, self._deliveries, self.metrics, self.consumer_id, self._unretryable
        )
        self._hosting = Hosting(self._aws, self._deliveries, runner, self._backend_lost)
        self._hosting.on_edge = self._protection.edge
        self._membership = Membership(self._aws, self._hosting, self._capacity, self.metrics, self.consumer_id)
        self._loader = Loader(
            self._aws,
            self._backend,
            self._hosting,
            self._deliveries,
            runner,
            self.metrics,
            self.consumer_id,
            self._membership.publish,
        )
        self._placer = Placer(self._aws, self._hosting, self._capacity, self.metrics, self._membership, self._loader)

    async def _serve_single_queue(self, queue_name: str) -> None:
        host = Host(SINGLE_QUEUE_LABEL, await self._aws.queues.named(queue_name), lanes=POLLS_MAX)
        await self._backend.load(SINGLE_QUEUE_LABEL)
        self._hosting.hosts[SINGLE_QUEUE_LABEL] = host
        self._hosting.serve(host)

    async def _announce(self) -> None:
        """Publish the current state to the registry."""
        if self._queue_name is None:
            await self._membership.publish()

    async def _ring_for_held(self) -> None:
        """Let other consumers load the labels that have work while this one finishes its jobs."""
        if self._queue_name is None:
            for host in list(self._hosting.hosts.values()):
                await self._aws.load_requests.ring_if_work(host.label)

    async def _polls_ended(self) -> None:
        """Wait for open polls: a message sent to a closed connection stays hidden for its whole visibility timeout."""
        if self._placement is not None:
            await asyncio.wait([self._placement], timeout=self.settings.wait_time_seconds + POLL_MARGIN_SECONDS)
        await self._hosting.polls_ended()

    async def _hand_over(self) -> None:
        """Unload, release the labels, leave the fleet, and ask for hosts for the work that is left."""
        held = list(self._hosting.hosts.values())
        for host in held:
            with contextlib.suppress(Exception):
                await self._backend.unload(host.label)
        if self._queue_name is not None:
            return
        for host in held:
            await self._aws.registry.unclaim(host.label, self.consumer_id, host.lanes)
        await self._aws.registry.leave(self.consumer_id)
        await self._ring_for_held()

    async def _quietly(self, step: Coroutine[Any, Any, None]) -> None:
        """Run a step of a shutdown or outage: a failing call to AWS must not stop the steps after it."""
        try:
            await step
        except TransportError as error:
            log.warning("an AWS call failed; the consumer continues without it: %s", error)

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
                if self._queue_name is None:
                    for label in lost:
                        await self._quietly(self._loader.give_up(label))
                continue
            await self._outage()

    async def _outage(self) -> None:
        log.error("backend lost; the consumer gives up its labels until the backend is back")
        self._membership.available = self._ready = False
        hosts = self._loader.drop_all()
        await self._quietly(self._announce())
        for host in hosts:
            if self._queue_name is None:
                await self._quietly(self._aws.registry.unclaim(host.label, self.consumer_id, host.lanes))
                self._loader.follow(host.label)
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            with contextlib.suppress(BackendLostError):
                await self._backend.start()
                break
        log.info("backend is back")
        self._lost_labels.clear()
        self._lost.clear()
        if self._queue_name is not None:
            await self._serve_single_queue(self._queue_name)
        self._membership.available = self._ready = True
        await self._quietly(self._announce())

    def _forever(self, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(loop)
        task.add_done_callback(_report)
        return task

    def _state(self) -> State:
        in_flight = len(self._deliveries)
        held = sorted(label for label, host in self._hosting.hosts.items() if host.ready)
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
