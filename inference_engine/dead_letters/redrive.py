"""Redrives dead letters to their queues, or purges them, as an operator decides.

record ──► send ──► delete the dead letter. A crash in between leaves it. If it is redriven again, its job gets a new message that
supersedes the one that may have been sent (see `JobRecords.redrive`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from ..aws.queues import OutgoingMessage, Queues
from ..errors import InferenceEngineError, TransportError
from ..fleet.load_requests import LoadRequests
from ..fleet.registry import Registry
from ..jobs.job import Job
from ..jobs.store import JobRecords
from ..labels import message_group, queue_name
from .store import DeadLetter, DeadLetterStore

log = logging.getLogger(__name__)

#: Dead letters processed at once; each may hold a message of 1 MiB.
TOGETHER = 50


class Verdict(Enum):
    """The outcome for one dead letter."""

    REDRIVEN = "redriven"
    PURGED = "purged"
    UNKNOWN = "there is no such dead letter"
    NO_JOB = "it is not a job of this library, or its text is not kept"
    LATE = "its deadline has passed; --ignore-deadline redrives it without one"
    VOID = "its job has ended otherwise, or is under way again; the dead letter is deleted"
    UNDER_WAY = "its job is under way again: redrive it, or cancel it before you purge"
    FAILED = "AWS refused"


@dataclass(frozen=True, slots=True)
class RedriveOutcome:
    """The verdict on a dead letter; `detail` is the reason for a failure."""

    message_id: str
    verdict: Verdict
    label: str | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the operation succeeded or there was nothing left to do."""
        return self.verdict in (Verdict.REDRIVEN, Verdict.PURGED, Verdict.VOID)


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A job whose record says SUBMITTED again, and its destination; `load_label` is its label if a load must be requested."""

    dead_letter: DeadLetter
    url: str
    message: OutgoingMessage
    load_label: str | None


class Redriver:
    """Redrives and purges the dead letters of one deployment."""

    def __init__(
        self,
        dead_letters: DeadLetterStore,
        jobs: JobRecords,
        queues: Queues,
        registry: Registry,
        load_requests: LoadRequests,
        prefix: str,
    ) -> None:
        self._dead_letters = dead_letters
        self._jobs = jobs
        self._queues = queues
        self._registry = registry
        self._load_requests = load_requests
        self._prefix = prefix
        self._lanes: dict[str, int] = {}

    async def redrive(self, message_ids: Sequence[str], *, ignore_deadline: bool = False) -> list[RedriveOutcome]:
        """Put jobs back on their queues, in this order. Returns the outcome of each."""
        outcomes: list[RedriveOutcome] = []
        for chunk in _chunks(list(dict.fromkeys(message_ids))):
            addressed = await asyncio.gather(*(self._address(one, ignore_deadline) for one in chunk))
            outcomes += await asyncio.gather(*(self._send(one) for one in addressed))
            await self._request_loads(
                {one.load_label for one in addressed if isinstance(one, _Addressed) and one.load_label}
            )
        return outcomes

    async def purge(self, message_ids: Sequence[str]) -> list[RedriveOutcome]:
        """Delete dead letters; the job records stay as they are. Returns the outcome of each."""
        outcomes: list[RedriveOutcome] = []
        for chunk in _chunks(list(dict.fromkeys(message_ids))):
            outcomes += await asyncio.gather(*(self._purge(one) for one in chunk))
        return outcomes

    async def _address(self, message_id: str, ignore_deadline: bool) -> _Addressed | RedriveOutcome:
        label = None
        try:
            found = await self._dead_letters.get(message_id)
            if found is None:
                return RedriveOutcome(message_id, Verdict.UNKNOWN)
            dead_letter, text = found
            label = dead_letter.label
            if not dead_letter.redrivable or text is None:
                return RedriveOutcome(message_id, Verdict.NO_JOB, label)
            job = Job.decode(text)
            if job.expired():
                if not ignore_deadline:
                    return RedriveOutcome(message_id, Verdict.LATE, label)
                job = job.model_copy(update={"deadline": None})
            return await self._submit(dead_letter, job)
        except InferenceEngineError as error:
            return RedriveOutcome(message_id, Verdict.FAILED, label, str(error))

    async def _submit(self, dead_letter: DeadLetter, job: Job) -> _Addressed | RedriveOutcome:
        """Look up everything that can fail before changing the record: a job that cannot be sent stays dead."""
        url, lanes = await self._destination(dead_letter, job)
        again = await self._jobs.redrive(dead_letter.message_id, job)
        if again is None:
            await self._dead_letters.discard(dead_letter.message_id)
            return RedriveOutcome(dead_letter.message_id, Verdict.VOID, dead_letter.label)
        deduplication_id = f"{dead_letter.message_id}-redrive-{again.redrive}"
        group = message_group(again.label, deduplication_id, lanes) if lanes else deduplication_id
        message = OutgoingMessage(again.encode(), group, deduplication_id)
        return _Addressed(dead_letter, url, message, again.label if lanes else None)

    async def _destination(self, dead_letter: DeadLetter, job: Job) -> tuple[str, int]:
        """The queue URL and the label's lanes; 0 lanes for the fixed queue of a single-queue deployment, which has none."""
        if dead_letter.queue not in (None, queue_name(self._prefix, job.label)):
            return await self._queues.named(str(dead_letter.queue)), 0
        url = await self._queues.of_label(job.label)
        if job.label not in self._lanes:
            self._lanes[job.label] = (await self._registry.label(job.label)).lanes
        return url, self._lanes[job.label]

    async def _send(self, one: _Addressed | RedriveOutcome) -> RedriveOutcome:
        if isinstance(one, RedriveOutcome):
            return one
        message_id, label = one.dead_letter.message_id, one.dead_letter.label
        try:
            await self._queues.send(one.url, one.message)
            await self._dead_letters.discard(message_id)
        except TransportError as error:
            return RedriveOutcome(message_id, Verdict.FAILED, label, f"{error}; redrive it again")
        return RedriveOutcome(message_id, Verdict.REDRIVEN, label)

    async def _purge(self, message_id: str) -> RedriveOutcome:
        try:
            record = await self._jobs.current(message_id)
            if record is not None and not record.status.finished:
                return RedriveOutcome(message_id, Verdict.UNDER_WAY, record.label)
            if not await self._dead_letters.discard(message_id):
                return RedriveOutcome(message_id, Verdict.UNKNOWN)
        except TransportError as error:
            return RedriveOutcome(message_id, Verdict.FAILED, None, str(error))
        return RedriveOutcome(message_id, Verdict.PURGED, record.label if record else None)

    async def _request_loads(self, labels: set[str]) -> None:
        for label in sorted(labels):
            try:
                await self._load_requests.send(label, always=True)
            except TransportError as error:
                # The jobs are on their queue: the next post or the backlog metrics will send another.
                log.warning("load request not sent: %s", error, extra={"label": label})


def _chunks(message_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (message_ids[start : start + TOGETHER] for start in range(0, len(message_ids), TOGETHER))
