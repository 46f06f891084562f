"""Waits for many jobs with few reads: one BatchGetItem for all waiting callers of a process.

A label's jobs end in about the order in which they were posted, so only the *head* of each label's waiting jobs is polled;
the head widens while all of it comes back finished. A slow sweep polls the other jobs and finds those that overtook the
head.

The times to poll are learnt. A moving line of jobs is polled when part of its head should have ended, by the pace so far. A job
that was posted alone is polled when most such jobs of its label have ended, and then repeatedly after another tenth of the
time waited: an early result is found early, a late one costs few reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..jobs.record import JobRecord
from .poll_schedule import Latencies, Pace

#: Jobs of one label that are polled together: at first, and at most.
HEAD_MIN = 20
HEAD_MAX = 200
#: Interval between two sweeps over the jobs behind the heads, and how many jobs one sweep polls at most.
SWEEP_SECONDS = 5.0
SWEEP_MAX = 500


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[JobRecord]
    since: float
    alone: bool = False
    callers: int = 0
    looks: int = 0
    seen: JobRecord | None = None


@dataclass(slots=True)
class _Line:
    """The waiting jobs of one label, in the order in which they were posted."""

    pace: Pace
    jobs: OrderedDict[str, _Waiting] = field(default_factory=OrderedDict)
    head: int = HEAD_MIN
    due_at: float = 0.0


class ResultPoller:
    """Hands out futures that hold the records of finished jobs."""

    def __init__(
        self, get: Callable[[str], Awaitable[JobRecord | None]], *, min_seconds: float, max_seconds: float
    ) -> None:
        self._get = get
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._latencies = Latencies()
        self._lines: dict[str, _Line] = {}
        self._task: asyncio.Task[None] | None = None
        self._added = asyncio.Event()
        self._sweep_at = 0.0

    def watch(self, message_id: str, label: str, *, posted: bool = False) -> asyncio.Future[JobRecord]:
        """A future for the record of the finished job. The caller must `forget` the job afterwards, whatever the outcome.

        `posted` means that the job was posted just now. Several callers may watch one job, so none may cancel its future.
        """
        now = time.monotonic()
        line = self._lines.get(label)
        if line is None:
            line = self._lines[label] = _Line(Pace(now))
        alone = posted and not line.jobs
        if not line.jobs:
            wait = self._latencies.first_look(label) if posted else 0.0
            line.due_at = now + min(max(wait, self._min_seconds), self._max_seconds)
        waiting = line.jobs.get(message_id)
        if waiting is None:
            waiting = _Waiting(asyncio.get_running_loop().create_future(), now, alone)
            line.jobs[message_id] = waiting
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        self._added.set()
        waiting.callers += 1
        return waiting.future

    def forget(self, message_id: str, label: str) -> None:
        """End one caller's watch on a job."""
        line = self._lines.get(label)
        waiting = line.jobs.get(message_id) if line else None
        if line is None or waiting is None:
            return
        waiting.callers -= 1
        if not waiting.callers:
            del line.jobs[message_id]
            waiting.future.cancel()
            if not line.jobs:
                del self._lines[label]

    async def wait(self, message_id: str, label: str, *, posted: bool = False) -> JobRecord:
        """Wait for the record of the finished job, without a limit: the caller sets one."""
        future = self.watch(message_id, label, posted=posted)
        try:
            return await asyncio.shield(future)
        finally:
            self.forget(message_id, label)

    def seen(self, message_id: str, label: str) -> JobRecord | None:
        """The last record seen of a job that a caller waits for."""
        line = self._lines.get(label)
        waiting = line.jobs.get(message_id) if line else None
        return waiting.seen if waiting else None

    async def close(self) -> None:
        """Stop polling; callers that still wait are cancelled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for line in self._lines.values():
            for waiting in line.jobs.values():
                waiting.future.cancel()
        self._lines.clear()

    async def _watch(self) -> None:
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        while self._lines:
            self._added.clear()
            now = time.monotonic()
            due_at = min(line.due_at for line in self._lines.values())
            if due_at > now:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._added.wait(), due_at - now)
                continue
            await self._look(now)

    async def _look(self, now: float) -> None:
        due = {label: line for label, line in self._lines.items() if line.due_at <= now}
        heads = {label: _first(line.jobs, line.head) for label, line in due.items()}
        asked = [(label, message_id) for label, ids in heads.items() for message_id in ids] + self._behind(now)
        answers = await asyncio.gather(*(self._get(message_id) for _, message_id in asked), return_exceptions=True)
        ended: dict[str, int] = {}
        for (label, message_id), record in zip(asked, answers, strict=True):
            if isinstance(record, BaseException):
                self._fail(label, message_id, record)
            elif self._settle(label, message_id, record):
                ended[label] = ended.get(label, 0) + 1
        later = time.monotonic()
        for label, line in due.items():
            self._schedule(line, ended.get(label, 0), len(heads[label]), later)
            # A new line of that label may have begun while this one was polled.
            if not line.jobs and self._lines.get(label) is line:
                del self._lines[label]

    def _schedule(self, line: _Line, ended: int, asked: int, now: float) -> None:
        full = ended == asked == line.head
        line.head = min(line.head * 2, HEAD_MAX) if full else max(HEAD_MIN, min(line.head, 2 * ended))
        line.pace.saw(ended, now)
        wait = 0.0 if full else line.pace.next_look(min(line.head, len(line.jobs)), now)
        line.due_at = now + min(max(wait, self._min_seconds), self._max_seconds)

    def _behind(self, now: float) -> list[tuple[str, str]]:
        if now < self._sweep_at:
            return []
        self._sweep_at = now + SWEEP_SECONDS
        found: list[tuple[str, str]] = []
        for label, line in self._lines.items():
            for index, message_id in enumerate(line.jobs):
                if len(found) == SWEEP_MAX:
                    break
                if index >= line.head:
                    found.append((label, message_id))
        for label, message_id in found:
            # Moved to the end of the line, so the next sweep polls other jobs.
            self._lines[label].jobs.move_to_end(message_id)
        return found

    def _settle(self, label: str, message_id: str, record: JobRecord | None) -> bool:
        """Note a job's polled record and return whether the job has finished."""
        line = self._lines.get(label)
        waiting = line.jobs.get(message_id) if line else None
        if line is None or waiting is None:
            return False
        waiting.looks += 1
        waiting.seen = record or waiting.seen
        over = record is not None and record.status.finished
        if waiting.alone and waiting.looks == 1:
            self._latencies.looked(label, in_time=over)
        if over and record is not None:
            if waiting.alone:
                # Clocks may differ: the job cannot have taken longer than this producer has waited.
                took = min(record.finished_at - record.submitted_at, time.monotonic() - waiting.since)
                self._latencies.ended(label, max(took, 0.0))
            del line.jobs[message_id]
            if not waiting.future.done():
                waiting.future.set_result(record)
        return over

    def _fail(self, label: str, message_id: str, error: BaseException) -> None:
        line = self._lines.get(label)
        waiting = line.jobs.pop(message_id, None) if line else None
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(error)


def _first(jobs: OrderedDict[str, _Waiting], count: int) -> list[str]:
    return [message_id for message_id, _ in zip(jobs, range(count), strict=False)]
