"""Job records in DynamoDB: the jobs table, its keys and its state transitions.

    producer            consumer                 record
    post ──────────────────────────────────────► SUBMITTED    only if there is none yet
                        start (n-th receive) ──► IN_PROGRESS  ┐
                        release ───────────────► SUBMITTED    │ only if status and attempt are what the writer last
                        finish ────────────────► SUCCESS | …  │ saw or wrote, not finished, and of no later attempt
    cancel ────────────────────────────────────► CANCELLED    ┘

`attempt` is the fencing token: SQS's receive count, which only grows. Each write may be repeated after a lost answer: the
second time it finds its own mark and agrees.

Two of these writes are left out where nobody could tell. A job that is over within a moment is never noted as IN_PROGRESS:
`look` reads the record instead (a read costs a tenth of a write) and `finish` goes straight from SUBMITTED to the end. And a
blocking post, whose message id nobody else knows, writes no SUBMITTED: `finish` makes the record.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..job import Job, JobFailure, ResultStatus
from .batching import Batcher
from .job_record import JobRecord
from .session import Transport
from .statements import BUSY_WAIT_SECONDS, Statements

#: DynamoDB API Reference, BatchGetItem: keys in one request.
KEYS_PER_CALL = 100
#: SQS Developer Guide, "Queue and message identifiers": message ids have at most 100 characters.
MESSAGE_ID_MAX_CHARACTERS = 100
#: Expiries are rounded up, so that a quick job's last write need not tell another one. DynamoDB deletes within days.
EXPIRY_STEP_SECONDS = 60


class Start(Enum):
    """What came of the wish to start a job."""

    STARTED = "started"
    FINISHED = "the job has its result already"
    STALE = "a later attempt has it"
    EXHAUSTED = "it was started too often without an end"


@dataclass(slots=True)
class Ticket:
    """One attempt of one job by one consumer; `known` is the record as this attempt last saw or wrote it."""

    message_id: str
    job: Job
    attempt: int
    consumer: str
    known: JobRecord | None = None

    @property
    def noted(self) -> bool:
        """Whether the record tells of this attempt."""
        return self.known is not None and (self.known.attempt, self.known.consumer) == (self.attempt, self.consumer)

    @property
    def starts(self) -> int:
        """Starts of the job that count, this one included once it is noted."""
        return self.known.starts if self.known else 0

    def submitted(self) -> JobRecord:
        """The record as a producer writes it."""
        job = self.job
        return JobRecord(
            self.message_id, job.label, job.request_id, ResultStatus.SUBMITTED, submitted_at=job.submitted_at
        )

    def forbidden_by(self, record: JobRecord) -> Start | None:
        """Why this attempt may not go on, by what stands in the table."""
        if record.status.finished:
            return Start.FINISHED
        others = record.attempt == self.attempt and record.consumer != self.consumer
        return Start.STALE if others or record.attempt > self.attempt else None


class JobRecords:
    """The jobs table.

    Methods may be called by the hundred at once: writes share calls, and so do reads.
    """

    def __init__(self, transport: Transport, table: str, ttl_seconds: float) -> None:
        self._transport = transport
        self._table = table
        self._ttl_seconds = ttl_seconds
        self._statements = Statements(transport, table)
        self._reads: Batcher[str, JobRecord | None] = Batcher(
            self._get_batch, max_items=KEYS_PER_CALL, key_of=lambda message_id: message_id, concurrency=4
        )

    async def submitted(self, message_id: str, job: Job) -> None:
        """Record a new job, unless its record is there already (a consumer was quicker, or the send was deduplicated)."""
        record = Ticket(message_id, job, 0, "").submitted()
        await self._statements.insert(message_id, self._with_expiry(record, job).fields())

    async def look(self, ticket: Ticket) -> Start:
        """Whether the attempt may begin, by a read: for a job that will be over before anyone could see it in progress.

        A job that has no record and will get none before its end is not even read.
        """
        if ticket.job.recorded is not False:
            ticket.known = await self.get(ticket.message_id)
        return (ticket.forbidden_by(ticket.known) if ticket.known else None) or Start.STARTED

    async def start(self, ticket: Ticket, max_starts: int) -> Start:
        """Claim the attempt and note it in the record; it is this consumer's after STARTED or EXHAUSTED."""
        if ticket.known is None and ticket.job.recorded is not False:
            ticket.known = ticket.submitted()

        def started(known: JobRecord) -> JobRecord:
            if (known.attempt, known.consumer) == (ticket.attempt, ticket.consumer):
                return known
            return replace(
                known,
                status=ResultStatus.IN_PROGRESS,
                attempt=ticket.attempt,
                starts=known.starts + 1,
                consumer=ticket.consumer,
                started_at=time.time(),
            )

        obstacle = await self._advance(ticket, started)
        if obstacle is not None:
            return ticket.forbidden_by(obstacle) or Start.STALE
        return Start.STARTED if ticket.starts <= max_starts else Start.EXHAUSTED

    async def release(self, ticket: Ticket) -> bool:
        """Take a start back: the job goes to the queue again and this attempt does not count."""
        before = ticket.known
        if before is None or not ticket.noted or before.status is not ResultStatus.IN_PROGRESS:
            return before is None or not before.status.finished
        released = replace(before, status=ResultStatus.SUBMITTED, starts=before.starts - 1)
        refused = await self._statements.update(ticket.message_id, released.changes(before), before.guard())
        if refused is None or refused.record == released:
            ticket.known = released
            return True
        return False

    async def finish(
        self,
        ticket: Ticket,
        status: ResultStatus,
        *,
        started_at: float | None = None,
        result: str | None = None,
        result_ref: str | None = None,
        error: JobFailure | None = None,
        patient: bool = False,
    ) -> bool:
        """Write the end of a job; False when another end, or a later attempt, was there first.

        A `patient` write waits a moment for others to share its request.
        """
        now = time.time()

        def finished(known: JobRecord) -> JobRecord:
            return replace(
                known,
                status=status,
                attempt=ticket.attempt,
                consumer=ticket.consumer,
                started_at=known.started_at or started_at or now,
                finished_at=now,
                result=result,
                result_ref=result_ref,
                error=error,
            )

        obstacle = await self._advance(ticket, finished, patient=patient)
        if obstacle is None:
            return True
        ours = (obstacle.attempt, obstacle.consumer) == (ticket.attempt, ticket.consumer)
        return ours and obstacle.status is status

    async def cancel(self, message_id: str) -> bool:
        """End a job that nobody wants any more; False when it had ended, or is unknown."""
        known = await self.get(message_id)
        while known is not None and not known.status.finished:
            failure = JobFailure(type="Cancelled", message="the caller cancelled the job")
            end = replace(known, status=ResultStatus.CANCELLED, finished_at=time.time(), error=failure)
            end = self._with_expiry(end)
            refused = await self._statements.update(message_id, end.changes(known), known.guard())
            if refused is None:
                return True
            known = refused.record
        return known is not None and known.status is ResultStatus.CANCELLED

    async def get(self, message_id: str) -> JobRecord | None:
        """The record of a job, eventually consistent; None when there is none or it has expired."""
        if not _possible(message_id):
            # DynamoDB would refuse the whole batch for it, and other callers' reads with it.
            return None
        return await self._reads.submit(message_id)

    async def close(self) -> None:
        """Wait for the writes under way."""
        await self._statements.close()

    async def _advance(
        self, ticket: Ticket, next_of: Callable[[JobRecord], JobRecord], *, patient: bool = False
    ) -> JobRecord | None:
        """Write the next state of the job; None when it stands there, else the record that forbids it."""
        while True:
            known = ticket.known or ticket.submitted()
            if known.status.finished:
                return known
            if (new := next_of(known)) is known:
                return None
            new = self._with_expiry(new, ticket.job)
            if ticket.known is None:
                refused = await self._statements.insert(ticket.message_id, new.fields(), patient=patient)
            else:
                changes, guard = new.changes(known), known.guard()
                refused = await self._statements.update(ticket.message_id, changes, guard, patient=patient)
            if refused is None:
                ticket.known = new
                return None
            if refused.record is None:
                # An insert that found something tries as an update of what a producer writes, and the other way round.
                ticket.known = ticket.submitted() if ticket.known is None else None
                continue
            if ticket.forbidden_by(refused.record):
                return refused.record
            ticket.known = refused.record

    def _with_expiry(self, record: JobRecord, job: Job | None = None) -> JobRecord:
        """A record lives for its time after its last change; one that waits, for its time after the job's deadline."""
        waits_until = job.deadline if job and job.deadline and not record.status.finished else 0
        expiry = max(time.time(), waits_until) + self._ttl_seconds
        return replace(record, expires_at=math.ceil(expiry / EXPIRY_STEP_SECONDS) * EXPIRY_STEP_SECONDS)

    async def _get_batch(self, message_ids: list[str]) -> Sequence[JobRecord | None]:
        found: dict[str, JobRecord] = {}
        request = {self._table: {"Keys": [{"message_id": {"S": message_id}} for message_id in message_ids]}}
        turn = 0
        while request:
            answer = await self._transport.call("dynamodb", "batch_get_item", RequestItems=request)
            for item in answer["Responses"].get(self._table, []):
                record = JobRecord.from_item(item)
                found[record.message_id] = record
            request = answer.get("UnprocessedKeys") or {}
            if request:
                turn += 1
                await asyncio.sleep(BUSY_WAIT_SECONDS * 2 ** min(turn, 7))
        now = time.time()
        records = (found.get(message_id) for message_id in message_ids)
        return [record if record and record.expires_at > now else None for record in records]


def _possible(message_id: str) -> bool:
    return isinstance(message_id, str) and 0 < len(message_id) <= MESSAGE_ID_MAX_CHARACTERS and message_id.isascii()
