"""Job records in DynamoDB: the jobs table, its keys and its state transitions.

    producer            consumer                 record
    post ──────────────────────────────────────► SUBMITTED    only if there is none yet
                        start (n-th receive) ──► IN_PROGRESS  ┐
                        release ───────────────► SUBMITTED    │ only if status and attempt are what the writer last
                        finish ────────────────► SUCCESS | …  │ saw or wrote, not finished, and of no later attempt
    cancel ────────────────────────────────────► CANCELLED    │
              dead letters
              bury ────────────────────────────► ERROR        ┘ DeadLettered; makes the record where there is none
    operator
    redrive ───────────────────────────────────► SUBMITTED    only if ERROR by bury, or a redrive that got no further

`attempt` is the fencing token and only grows. It is SQS's receive count of the message. A redriven job has a new message,
whose count begins at 1 again, so each redrive raises the token by ATTEMPTS_PER_MESSAGE. Of all messages that a job ever had,
only the one that its record counts by can still change it: earlier ones, from consumers or the dead-letter queue, are void.
Each write may be repeated after a lost answer: the second time it finds its own mark and agrees.

Two of these writes are omitted where nobody could notice. A job that ends within a moment is never recorded as IN_PROGRESS:
`look` reads the record instead (a read costs a tenth of a write) and `finish` goes straight from SUBMITTED to the end. And a
blocking post, whose message id nobody else knows, writes no SUBMITTED: `finish` creates the record.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from ..aws.tables import ConditionFailed, Item, Items
from ..aws.transport import Transport
from .attempt import ATTEMPTS_PER_MESSAGE, Attempt, Start, attempts_before, redrives_of
from .job import Job, JobFailure, ResultStatus
from .record import JobRecord

#: SQS Developer Guide, "Queue and message identifiers": message ids have at most 100 characters.
MESSAGE_ID_MAX_CHARACTERS = 100
#: The error type of a job whose message was dead-lettered. Only such a job can be redriven.
DEAD_LETTERED = "DeadLettered"
#: Expiries are rounded up, so that a quick job's last write need not change the expiry. DynamoDB deletes within days.
EXPIRY_STEP_SECONDS = 60


class JobRecords:
    """The jobs table.

    Hundreds of methods may be called concurrently: writes share requests, and so do reads.
    """

    def __init__(self, transport: Transport, table: str, ttl_seconds: float) -> None:
        self._ttl_seconds = ttl_seconds
        self._items = Items(transport, table, "message_id")

    async def submitted(self, message_id: str, job: Job) -> None:
        """Record a new job, unless it has a record already (a consumer was quicker, or the send was deduplicated)."""
        record = Attempt(message_id, job, 0, "").submitted()
        await self._items.insert(message_id, self._with_expiry(record, job).fields())

    async def look(self, attempt: Attempt) -> Start:
        """Whether the attempt may begin, by a read: for a job that will end before anyone could see it in progress.

        A job without a record until its end is not read at all.
        """
        if attempt.job.recorded is not False:
            # A finished job may have been redriven a moment ago, which an eventually consistent read need not show.
            read = self.get if attempt.job.redrive is None else self.current
            attempt.known = await read(attempt.message_id)
        return (attempt.forbidden_by(attempt.known) if attempt.known else None) or Start.STARTED

    async def start(self, attempt: Attempt, max_starts: int) -> Start:
        """Claim the attempt and note it in the record. After STARTED or EXHAUSTED, the attempt is this consumer's."""
        if attempt.known is None and attempt.job.recorded is not False:
            attempt.known = attempt.submitted()

        def started(known: JobRecord) -> JobRecord:
            if (known.attempt, known.consumer) == (attempt.number, attempt.consumer):
                return known
            return replace(
                known,
                status=ResultStatus.IN_PROGRESS,
                attempt=attempt.number,
                starts=known.starts + 1,
                consumer=attempt.consumer,
                started_at=time.time(),
            )

        obstacle = await self._advance(attempt, started)
        if obstacle is not None:
            return attempt.forbidden_by(obstacle) or Start.STALE
        return Start.STARTED if attempt.starts <= max_starts else Start.EXHAUSTED

    async def release(self, attempt: Attempt) -> bool:
        """Undo a start: the job returns to its queue and this attempt does not count. False if the record no longer allows it."""
        before = attempt.known
        if before is None or not attempt.start_recorded or before.status is not ResultStatus.IN_PROGRESS:
            return before is None or not before.status.finished
        released = replace(before, status=ResultStatus.SUBMITTED, starts=before.starts - 1)
        refused = await self._items.update(attempt.message_id, released.changes(before), before.guard())
        if refused is None or _found(refused) == released:
            attempt.known = released
            return True
        return False

    async def finish(
        self,
        attempt: Attempt,
        status: ResultStatus,
        *,
        started_at: float | None = None,
        result: str | None = None,
        result_ref: str | None = None,
        error: JobFailure | None = None,
        patient: bool = False,
    ) -> bool:
        """Write the end of a job; False if another end or a later attempt was recorded first.

        A `patient` write waits a moment for others to share its request.
        """
        now = time.time()

        def finished(known: JobRecord) -> JobRecord:
            return replace(
                known,
                status=status,
                attempt=attempt.number,
                consumer=attempt.consumer,
                started_at=known.started_at or started_at or now,
                finished_at=now,
                result=result,
                result_ref=result_ref,
                error=error,
            )

        obstacle = await self._advance(attempt, finished, patient=patient)
        if obstacle is None:
            return True
        ours = (obstacle.attempt, obstacle.consumer) == (attempt.number, attempt.consumer)
        return ours and obstacle.status is status

    async def cancel(self, message_id: str) -> bool:
        """Cancel a job; False if it has ended otherwise or is unknown."""
        known = await self.find(message_id)
        while known is not None and not known.status.finished:
            failure = JobFailure(type="Cancelled", message="the caller cancelled the job")
            end = replace(known, status=ResultStatus.CANCELLED, finished_at=time.time(), error=failure)
            end = self._with_expiry(end)
            refused = await self._items.update(message_id, end.changes(known), known.guard())
            if refused is None:
                return True
            known = _found(refused)
        return known is not None and known.status is ResultStatus.CANCELLED

    async def bury(self, message_id: str, job: Job, failure: JobFailure) -> bool:
        """Fail a job whose message was dead-lettered; False if it had ended otherwise or was redriven since."""
        attempt = Attempt(message_id, job, attempts_before(job) + ATTEMPTS_PER_MESSAGE - 1, "")
        attempt.known = await self.current(message_id)

        def buried(known: JobRecord) -> JobRecord:
            return replace(known, status=ResultStatus.ERROR, finished_at=time.time(), error=failure)

        if attempt.known is not None and attempt.forbidden_by(attempt.known):
            obstacle: JobRecord | None = attempt.known
        else:
            obstacle = await self._advance(attempt, buried)
        return obstacle is None or (_is_dead(obstacle) and redrives_of(obstacle) == (job.redrive or 0))

    async def redrive(self, message_id: str, job: Job) -> Job | None:
        """Make a dead-lettered job SUBMITTED again. Returns the job to send in a new message, under its old id.

        None if there is nothing to redrive: the job ended otherwise, or is under way again. If a crash prevents the send after
        this call, the next call returns a job that supersedes this one, so two messages never make two jobs.
        """
        known = await self.current(message_id)
        while known is None or _may_be_redriven(known):
            number = max(redrives_of(known) if known else 0, job.redrive or 0) + 1
            again = job.model_copy(update={"message_id": message_id, "redrive": number, "recorded": None})
            new = self._with_expiry(Attempt(message_id, again, 0, "").submitted(), again)
            if known is None:
                refused = await self._items.insert(message_id, new.fields())
            else:
                refused = await self._items.update(message_id, new.changes(known), known.guard())
            if refused is None:
                return again
            # DynamoDB does not return what an insert found. The update that comes next is refused and returns it.
            found = _found(refused)
            known = found or (Attempt(message_id, job, 0, "").submitted() if known is None else None)
        return None

    async def get(self, message_id: str) -> JobRecord | None:
        """The record of a job, eventually consistent; None if there is none or it has expired."""
        if not _possible(message_id):
            # DynamoDB would reject the whole batch because of it, and other callers' reads with it.
            return None
        return _current(await self._items.get(message_id))

    async def current(self, message_id: str) -> JobRecord | None:
        """The current record: a consistent read in a request of its own."""
        return _current(await self._items.current(message_id)) if _possible(message_id) else None

    async def find(self, message_id: str) -> JobRecord | None:
        """The record, also of a job posted just now, which an eventually consistent read need not show yet."""
        return await self.get(message_id) or await self.current(message_id)

    async def close(self) -> None:
        """Wait for pending writes."""
        await self._items.close()

    async def _advance(
        self, attempt: Attempt, next_of: Callable[[JobRecord], JobRecord], *, patient: bool = False
    ) -> JobRecord | None:
        """Write the job's next state. Returns None once the record has it, else the record that forbids it."""
        while True:
            known = attempt.known or attempt.submitted()
            if known.status.finished:
                return known
            if (new := next_of(known)) is known:
                return None
            new = self._with_expiry(new, attempt.job)
            if attempt.known is None:
                refused = await self._items.insert(attempt.message_id, new.fields(), patient=patient)
            else:
                changes, guard = new.changes(known), known.guard()
                refused = await self._items.update(attempt.message_id, changes, guard, patient=patient)
            if refused is None:
                attempt.known = new
                return None
            if (found := _found(refused)) is None:
                # A refused insert is retried as an update of the record that a producer writes, and vice versa.
                attempt.known = attempt.submitted() if attempt.known is None else None
                continue
            if attempt.forbidden_by(found):
                return found
            attempt.known = found

    def _with_expiry(self, record: JobRecord, job: Job | None = None) -> JobRecord:
        """Set the expiry: the TTL after the last change, or for an unfinished job after its deadline if that is later."""
        waits_until = job.deadline if job and job.deadline and not record.status.finished else 0
        expiry = max(time.time(), waits_until) + self._ttl_seconds
        return replace(record, expires_at=math.ceil(expiry / EXPIRY_STEP_SECONDS) * EXPIRY_STEP_SECONDS)


def _found(refused: ConditionFailed) -> JobRecord | None:
    """The record that a refused write found; None where there is none, and after an insert."""
    return JobRecord.from_item(refused.item) if refused.item else None


def _current(item: Item | None) -> JobRecord | None:
    """The record in an item; None where there is none, or only one that DynamoDB has yet to delete."""
    record = JobRecord.from_item(item) if item else None
    return record if record and record.expires_at > time.time() else None


def _is_dead(record: JobRecord) -> bool:
    return record.status is ResultStatus.ERROR and record.error is not None and record.error.type == DEAD_LETTERED


def _may_be_redriven(record: JobRecord) -> bool:
    """Whether a job was buried, or is as a redrive left it: the redrive's message may never have been sent."""
    unsent = record.status is ResultStatus.SUBMITTED and record.attempt % ATTEMPTS_PER_MESSAGE == 0
    return _is_dead(record) or unsent


def _possible(message_id: str) -> bool:
    return isinstance(message_id, str) and 0 < len(message_id) <= MESSAGE_ID_MAX_CHARACTERS and message_id.isascii()
