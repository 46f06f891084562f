"""Waits for many jobs with few reads: one BatchGetItem for all waiting callers of a process.

A label's jobs end in about the order in which they were posted, so only the *head* of each label's waiting jobs is looked
at; it widens while whole heads come back finished. Every other job is looked at in a slow sweep, so that one that
overtook the others is found as well. The wait between two looks grows with the time waited: an early result is found
early, a late one costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..aws.job_record import JobRecord

#: Jobs of one label that are looked at together: at first, and at most.
HEAD_MIN = 20
HEAD_MAX = 200
#: Between two sweeps over the jobs behind the heads, and how many of them one sweep looks at.
SWEEP_SECONDS = 5.0
SWEEP_MAX = 500
#: The next look comes after this share of the time since the last job of the label ended (or was posted).
PATIENCE = 0.1


@dataclass(slots=True)
class _Waiting:
    future: asyncio.Future[JobRecord]
    callers: int = 0
    seen: JobRecord | None = None


@dataclass(slots=True)
class _Line:
    """The waiting jobs of one label, in the order of their posts."""

    jobs: OrderedDict[str, _Waiting] = field(default_factory=OrderedDict)
    head: int = HEAD_MIN
    moved_at: float = 0.0
    due_at: float = 0.0


class ResultWatcher:
    """Futures of job records that are finished."""

    def __init__(
        self, get: Callable[[str], Awaitable[JobRecord | None]], *, min_seconds: float, max_seconds: float
    ) -> None:
        self._get = get
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._lines: dict[str, _Line] = {}
        self._task: asyncio.Task[None] | None = None
        self._added = asyncio.Event()
        self._sweep_at = 0.0

    async def wait(self, message_id: str, label: str) -> JobRecord:
        """The record of a job once it is finished. Waits for ever: the caller bounds it."""
        now = time.monotonic()
        line = self._lines.setdefault(label, _Line())
        if not line.jobs:
            line.moved_at, line.due_at = now, now + self._min_seconds
        waiting = line.jobs.get(message_id)
        if waiting is None:
            waiting = line.jobs[message_id] = _Waiting(asyncio.get_running_loop().create_future())
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        self._added.set()
        waiting.callers += 1
        try:
            # Two callers may wait for one job, and one of them may give up.
            return await asyncio.shield(waiting.future)
        finally:
            waiting.callers -= 1
            if not waiting.callers:
                self._drop(message_id, label, waiting)

    def seen(self, message_id: str, label: str) -> JobRecord | None:
        """What was last seen of a job that someone waits for."""
        line = self._lines.get(label)
        waiting = line.jobs.get(message_id) if line else None
        return waiting.seen if waiting else None

    async def close(self) -> None:
        """Stop looking; whoever still waits is cancelled."""
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
        heads = {label: list(_first(line.jobs, line.head)) for label, line in due.items()}
        behind = self._behind(now)
        asked = [(label, message_id) for label, ids in heads.items() for message_id in ids] + behind
        answers = await asyncio.gather(*(self._get(message_id) for _, message_id in asked), return_exceptions=True)
        ended: dict[str, int] = {}
        for (label, message_id), record in zip(asked, answers, strict=True):
            if isinstance(record, BaseException):
                self._fail(label, message_id, record)
            elif record is not None and self._settle(label, message_id, record):
                ended[label] = ended.get(label, 0) + 1
        later = time.monotonic()
        for label, line in due.items():
            self._schedule(line, ended.get(label, 0), len(heads[label]), later)
            # Another line of that label may have begun while this one was looked at.
            if not line.jobs and self._lines.get(label) is line:
                del self._lines[label]

    def _schedule(self, line: _Line, ended: int, asked: int, now: float) -> None:
        if ended:
            line.moved_at = now
        full = ended == asked == line.head
        line.head = min(line.head * 2, HEAD_MAX) if full else max(HEAD_MIN, min(line.head, 2 * ended))
        wait = 0.0 if full else PATIENCE * (now - line.moved_at)
        line.due_at = now + min(max(wait, self._min_seconds), self._max_seconds)

    def _behind(self, now: float) -> list[tuple[str, str]]:
        if now < self._sweep_at:
            return []
        self._sweep_at = now + SWEEP_SECONDS
        found: list[tuple[str, str]] = []
        for label, line in self._lines.items():
            for index, message_id in enumerate(line.jobs):
                if index >= line.head and len(found) < SWEEP_MAX:
                    found.append((label, message_id))
        for label, message_id in found:
            # To the end of the line, so that the next sweep looks at others.
            self._lines[label].jobs.move_to_end(message_id)
        return found

    def _drop(self, message_id: str, label: str, waiting: _Waiting) -> None:
        line = self._lines.get(label)
        if line is None or line.jobs.get(message_id) is not waiting:
            return
        del line.jobs[message_id]
        waiting.future.cancel()
        if not line.jobs:
            del self._lines[label]

    def _settle(self, label: str, message_id: str, record: JobRecord) -> bool:
        line = self._lines.get(label)
        waiting = line.jobs.get(message_id) if line else None
        if line is None or waiting is None:
            return False
        waiting.seen = record
        if not record.status.finished:
            return False
        del line.jobs[message_id]
        if not waiting.future.done():
            waiting.future.set_result(record)
        return True

    def _fail(self, label: str, message_id: str, error: BaseException) -> None:
        line = self._lines.get(label)
        waiting = line.jobs.pop(message_id, None) if line else None
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(error)


def _first(jobs: OrderedDict[str, _Waiting], count: int) -> list[str]:
    return [message_id for message_id, _ in zip(jobs, range(count), strict=False)]
