"""Jobs that were accepted without a waiting caller: how many a label's queue may hold, and which of them have not ended."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ..aws.connect import Aws
from .problems import later

#: What SQS said of a queue is believed so long, and once the queue may be full, only so long.
BELIEVED_SECONDS = 30.0
BELIEVED_FULL_SECONDS = 1.0
#: A full queue is worth another try after about so long.
RETRY_SECONDS = 5.0
#: Jobs that are remembered as unfinished; beyond, the oldest are forgotten.
REMEMBERED = 50_000
#: Labels whose queues' lengths are remembered.
LABELS = 10_000


@dataclass(slots=True)
class _Length:
    """What SQS said of a queue, and what was put in here since."""

    jobs: int
    read_at: float
    since: int = 0


class Accepted:
    """Asynchronous jobs of this gateway. The bound holds by SQS's own count, so that all gateways share it."""

    def __init__(self, aws: Aws, max_queue_size: int) -> None:
        self._aws = aws
        self._max = max_queue_size
        self._lengths: OrderedDict[str, _Length] = OrderedDict()
        self._jobs: OrderedDict[str, str] = OrderedDict()

    async def check(self, label: str) -> None:
        """Raises Problem 429 where the label's queue holds as many jobs as it may."""
        length = self._lengths.get(label)
        age = time.monotonic() - length.read_at if length else 0.0
        full = length is not None and length.jobs + length.since >= self._max
        if length is None or age > (BELIEVED_FULL_SECONDS if full else BELIEVED_SECONDS):
            await self.backlog(label)
            length = self._lengths[label]
        if length.jobs + length.since >= self._max:
            told = f"{length.jobs + length.since} jobs lie on the queue of label {label!r} already"
            raise later(429, "queue-full", told, RETRY_SECONDS)
        length.since += 1

    async def backlog(self, label: str) -> int:
        """Jobs on the queue of a label, waiting or with a consumer, by SQS's count. Raises UnknownLabelError."""
        jobs = (await self._aws.queues.backlog(await self._aws.queues.of_label(label))).total
        self._lengths[label] = _Length(jobs, time.monotonic())
        self._lengths.move_to_end(label)
        if len(self._lengths) > LABELS:
            self._lengths.popitem(last=False)
        return jobs

    def add(self, message_id: str, label: str) -> None:
        """A job was posted."""
        self._jobs[message_id] = label
        if len(self._jobs) > REMEMBERED:
            self._jobs.popitem(last=False)

    async def unfinished(self, allowed: Callable[[str], bool]) -> list[str]:
        """Message ids of jobs that have not ended, of labels that are allowed; in the order in which they came."""
        message_ids = [message_id for message_id, label in self._jobs.items() if allowed(label)]
        records = await asyncio.gather(*(self._aws.jobs.get(message_id) for message_id in message_ids))
        for message_id, record in zip(message_ids, records, strict=True):
            if record is None or record.status.finished:
                self._jobs.pop(message_id, None)
        return [message_id for message_id in message_ids if message_id in self._jobs]
