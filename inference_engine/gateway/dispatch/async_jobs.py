"""Jobs that were accepted without a waiting caller: how many a label's queue may hold, and which of them have not ended.

The bound of a queue is checked against SQS's count plus what this process has put there since. SQS counts late ("approximate",
SQS API Reference, GetQueueAttributes), so jobs put there in the seconds before SQS was asked are added to its count. One gateway
therefore does not exceed the bound, however many callers post at once. Several gateways together may, by what the others post
while one relies on its last reading. Jobs that ended in those seconds are counted as well: a queue that was full accepts jobs
again a few seconds after it has room.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from ...aio.single_flight import SingleFlight
from ...deployment import Deployment
from ...errors import TransportError, UnknownLabelError
from ..http.problems import later

#: How long SQS's count of a queue is used, and how long once the queue may hold this share of its bound.
BELIEVED_SECONDS = 30.0
BELIEVED_FULL_SECONDS = 1.0
FULL_SHARE = 0.5
#: SQS may count a sent message this late.
COUNTED_LATE_SECONDS = 3
#: Retry-After for a full queue.
RETRY_SECONDS = 5.0
#: How many jobs are remembered as unfinished; beyond that, the one that was checked longest ago is forgotten.
REMEMBERED = 50_000
#: How many of those are checked for one request.
LOOKED_AT = 1000
#: How many labels' queue lengths are remembered.
LABELS = 10_000


@dataclass(slots=True)
class _Queue:
    """SQS's count of a label's queue, and what was put on it here in each second that the count may not include yet."""

    told: int = 0
    read_at: float | None = None
    put: Counter[int] = field(default_factory=Counter)
    reading: SingleFlight[None] = field(init=False)

    @property
    def jobs(self) -> int:
        return self.told + self.put.total()

    def lapsed(self, most: int) -> bool:
        believed = BELIEVED_FULL_SECONDS if self.jobs >= FULL_SHARE * most else BELIEVED_SECONDS
        return self.read_at is None or time.monotonic() - self.read_at > believed

    def read(self, told: int, began_at: float) -> None:
        self.told = told
        self.read_at = time.monotonic()
        counted = int(began_at) - COUNTED_LATE_SECONDS
        self.put = Counter({second: jobs for second, jobs in self.put.items() if second >= counted})


@dataclass(slots=True)
class _Job:
    """A job that has not ended, as far as is known, and when it was last checked."""

    label: str
    looked_at: float


class AsyncJobs:
    """Asynchronous jobs of this gateway."""

    def __init__(self, deployment: Deployment, max_queue_size: int) -> None:
        self._deployment = deployment
        self._max = max_queue_size
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._looking = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def place(self, label: str) -> AsyncIterator[None]:
        """A place on the label's queue for the one job that is posted inside; given back where the job was not sent.

        Raises Problem 429 where the queue holds as many jobs as it may.
        """
        queue = await self._queue_with_room(label)
        second = int(time.monotonic())
        queue.put[second] += 1
        try:
            yield
        except TransportError:
            # The job may have been sent all the same; SQS's next count will show it.
            raise
        except Exception:
            if second in queue.put:
                queue.put[second] -= 1
            raise

    async def close(self) -> None:
        """End the readings that are under way."""
        await asyncio.gather(*(queue.reading.close() for queue in self._queues.values()))

    async def backlog(self, label: str) -> int:
        """The number of jobs on a label's queue, waiting or with a consumer, by SQS's count.

        0 where the label's first job has yet to create the queue. Raises UnknownLabelError where queues are not created that way.
        """
        try:
            url = await self._deployment.queues.of_label(label, create=False)
        except UnknownLabelError:
            if not self._deployment.settings.auto_create_queues:
                raise
            return 0
        return (await self._deployment.queues.backlog(url)).total

    def add(self, message_id: str, label: str) -> None:
        """Remember a job that was posted."""
        self._jobs[message_id] = _Job(label, time.monotonic())
        if len(self._jobs) > REMEMBERED:
            self._jobs.popitem(last=False)

    async def unfinished(self, allowed: Callable[[str], bool]) -> list[str]:
        """Message ids of unfinished jobs of allowed labels, as far as is known; the one checked longest ago comes first.

        Up to LOOKED_AT of them are checked now. Callers' checks run one after another; a job that was checked since a caller
        asked is not checked again for that caller.
        """
        asked_at = time.monotonic()
        async with self._looking:
            labels = {job.label for job in self._jobs.values()}
            labels = {label for label in labels if allowed(label)}
            ours = [message_id for message_id, job in self._jobs.items() if job.label in labels]
            due = [message_id for message_id in ours[:LOOKED_AT] if self._jobs[message_id].looked_at <= asked_at]
            await self._look(due)
        return [message_id for message_id, job in self._jobs.items() if job.label in labels]

    async def _queue_with_room(self, label: str) -> _Queue:
        """The label's queue, where it has room. The caller takes a place with no `await` in between."""
        queue = self._queues.get(label)
        if queue is None:
            queue = self._queues[label] = self._new_queue(label)
        self._queues.move_to_end(label)
        if len(self._queues) > LABELS:
            self._queues.popitem(last=False)
        if queue.lapsed(self._max):
            await queue.reading.get(0)
        if queue.jobs >= self._max:
            told = f"about {queue.jobs} jobs are already on the queue of label {label!r}"
            raise later(429, "queue-full", told, RETRY_SECONDS)
        return queue

    def _new_queue(self, label: str) -> _Queue:
        queue = _Queue()
        queue.reading = SingleFlight(lambda: self._read(label, queue))
        return queue

    async def _read(self, label: str, queue: _Queue) -> None:
        began_at = time.monotonic()
        try:
            queue.read(await self.backlog(label), began_at)
        except UnknownLabelError:
            self._queues.pop(label, None)
            raise

    async def _look(self, message_ids: list[str]) -> None:
        looked_at = time.monotonic()
        records = await asyncio.gather(*(self._deployment.jobs.find(message_id) for message_id in message_ids))
        for message_id, record in zip(message_ids, records, strict=True):
            job = self._jobs.pop(message_id, None)
            if job is not None and record is not None and not record.status.finished:
                self._jobs[message_id] = _Job(job.label, looked_at)
