"""Job records in DynamoDB: who may write what, when.

    producer            consumer (attempt n)              record
    send ──► id
    submitted ─────────────────────────────────────────► SUBMITTED    only if there is none yet
                        receive (n-th time)
                        start ─────────────────────────► IN_PROGRESS  only if open and last touched by an earlier attempt
                        release ───────────────────────► SUBMITTED    only if open and still attempt n
                        finish ────────────────────────► SUCCESS | …  only if open and still attempt n
    cancel ────────────────────────────────────────────► CANCELLED    only if open

`attempt` is the fencing token: SQS's receive count, which only grows. `open` is 1 until the job is finished and then 0 for
ever, so one comparison guards every end. All writes are single PartiQL statements of plain comparisons: 25 of them share
one BatchExecuteStatement, each with a condition and an error of its own (DynamoDB Developer Guide, "Running batch
operations with PartiQL"). Each may be repeated after a lost answer: the second time it finds its own mark and agrees.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import TransportError
from ..job import Job, JobFailure, ResultStatus
from .batching import Batcher
from .job_record import JobRecord
from .session import Transport

#: DynamoDB API Reference: statements in one BatchExecuteStatement, keys in one BatchGetItem.
STATEMENTS_PER_CALL = 25
KEYS_PER_CALL = 100
#: SQS Developer Guide, "Queue and message identifiers": message ids have at most 100 characters.
MESSAGE_ID_MAX_CHARACTERS = 100
#: DynamoDB answers a request of at most 16 MB; a batch of statements stays far below.
BATCH_MAX_BYTES = 4_000_000
#: Statements that DynamoDB was too busy for are repeated so often, waiting twice as long each time.
BUSY_TRIES = 10
BUSY_WAIT_SECONDS = 0.05

_BUSY = frozenset(
    {
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionConflict",
    }
)


class Start(Enum):
    """What came of the wish to start a job."""

    STARTED = "started"
    FINISHED = "the job has its result already"
    STALE = "a later attempt has it"
    EXHAUSTED = "it was started too often without an end"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to finish one attempt of one job."""

    message_id: str
    attempt: int
    starts: int
    consumer: str


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    parameters: tuple[dict[str, str], ...]
    key: str

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(value) for parameter in self.parameters for value in parameter.values())


@dataclass(frozen=True, slots=True)
class _Refused:
    """The condition did not hold; `record` is what stands there instead, or None where nothing does."""

    record: JobRecord | None


class JobRecords:
    """The jobs table.

    Methods may be called by the hundred at once: writes share calls, and so do reads.
    """

    def __init__(self, transport: Transport, table: str, ttl_seconds: float) -> None:
        self._transport = transport
        self._table = table
        self._ttl_seconds = ttl_seconds
        self._writes: Batcher[_Statement, _Refused | None] = Batcher(
            self._execute,
            max_items=STATEMENTS_PER_CALL,
            max_bytes=BATCH_MAX_BYTES,
            size_of=lambda statement: statement.size,
            key_of=lambda statement: statement.key,
            concurrency=8,
        )
        self._reads: Batcher[str, JobRecord | None] = Batcher(
            self._get_batch, max_items=KEYS_PER_CALL, key_of=lambda message_id: message_id, concurrency=4
        )

    async def submitted(self, message_id: str, job: Job) -> None:
        """Record a new job, unless its record is there already (a consumer was quicker, or the send was deduplicated)."""
        await self._insert(message_id, job, ResultStatus.SUBMITTED, attempt=0, starts=0, consumer="")

    async def start(
        self, message_id: str, job: Job, attempt: int, consumer: str, max_starts: int
    ) -> tuple[Start, Ticket]:
        """Claim the attempt; the ticket is good only with Start.STARTED or Start.EXHAUSTED."""
        known = JobRecord(message_id, job.label, job.request_id, ResultStatus.SUBMITTED)
        while True:
            ticket = Ticket(message_id, attempt, known.starts + 1, consumer)
            refused = await self._update(
                message_id,
                {
                    "status": ResultStatus.IN_PROGRESS,
                    "attempt": attempt,
                    "starts": ticket.starts,
                    "consumer": consumer,
                    "started_at": time.time(),
                    "expires_at": self._expiry(max(time.time(), job.deadline or 0)),
                },
                {"attempt": known.attempt},
            )
            if refused is None:
                return _started(ticket, max_starts)
            if refused.record is None:
                in_time = await self._insert(
                    message_id, job, ResultStatus.IN_PROGRESS, attempt=attempt, starts=1, consumer=consumer
                )
                if in_time:
                    return Start.STARTED, ticket
                continue
            known = refused.record
            if known.status.finished:
                return Start.FINISHED, ticket
            if known.attempt == attempt and known.consumer == consumer:
                return _started(Ticket(message_id, attempt, known.starts, consumer), max_starts)
            if known.attempt >= attempt:
                return Start.STALE, ticket

    async def release(self, ticket: Ticket) -> bool:
        """Take a start back: the job goes to the queue again and this attempt does not count."""
        fields = {"status": ResultStatus.SUBMITTED, "starts": ticket.starts - 1}
        return await self._update(ticket.message_id, fields, {"attempt": ticket.attempt}) is None

    async def finish(
        self,
        ticket: Ticket,
        status: ResultStatus,
        *,
        result: str | None = None,
        result_ref: str | None = None,
        error: JobFailure | None = None,
    ) -> bool:
        """Write the end of a job; False when another end, or a later attempt, was there first."""
        now = time.time()
        fields: dict[str, Any] = {
            "status": status,
            "open": 0,
            "finished_at": now,
            "expires_at": self._expiry(now),
        }
        if result is not None:
            fields["result"] = result
        if result_ref is not None:
            fields["result_ref"] = result_ref
        if error is not None:
            fields |= {"error_type": error.type, "error_message": error.message}
        refused = await self._update(ticket.message_id, fields, {"attempt": ticket.attempt})
        if refused is None:
            return True
        record = refused.record
        ours = record is not None and (record.attempt, record.consumer) == (ticket.attempt, ticket.consumer)
        return ours and record is not None and record.status is status

    async def cancel(self, message_id: str) -> bool:
        """End a job that nobody wants any more; False when it had ended, or is unknown."""
        now = time.time()
        fields = {
            "status": ResultStatus.CANCELLED,
            "open": 0,
            "finished_at": now,
            "expires_at": self._expiry(now),
            "error_type": "Cancelled",
            "error_message": "the caller cancelled the job",
        }
        refused = await self._update(message_id, fields, {})
        return refused is None or (refused.record is not None and refused.record.status is ResultStatus.CANCELLED)

    async def get(self, message_id: str) -> JobRecord | None:
        """The record of a job, eventually consistent; None when there is none or it has expired."""
        if not _possible(message_id):
            # DynamoDB would refuse the whole batch for it, and other callers' reads with it.
            return None
        return await self._reads.submit(message_id)

    async def close(self) -> None:
        """Wait for the writes under way."""
        await self._writes.close()

    def _expiry(self, since: float) -> int:
        return int(since + self._ttl_seconds)

    async def _insert(
        self, message_id: str, job: Job, status: ResultStatus, *, attempt: int, starts: int, consumer: str
    ) -> bool:
        now = time.time()
        fields: dict[str, Any] = {
            "message_id": message_id,
            "label": job.label,
            "request_id": job.request_id,
            "status": status,
            "open": 1,
            "attempt": attempt,
            "starts": starts,
            "consumer": consumer,
            "submitted_at": job.submitted_at,
            "started_at": now if consumer else 0,
            "expires_at": self._expiry(max(now, job.deadline or now)),
        }
        names = ", ".join(f"'{name}': ?" for name in fields)
        text = f'INSERT INTO "{self._table}" VALUE {{{names}}}'
        return await self._writes.submit(_Statement(text, _parameters(fields.values()), message_id)) is None

    async def _update(self, message_id: str, fields: dict[str, Any], expected: dict[str, Any]) -> _Refused | None:
        expected = {"open": 1, **expected}
        assignments = ", ".join(f'"{name}"=?' for name in fields)
        conditions = " AND ".join(f'"{name}"=?' for name in ("message_id", *expected))
        text = f'UPDATE "{self._table}" SET {assignments} WHERE {conditions}'  # noqa: S608 - names are this file's own
        parameters = _parameters([*fields.values(), message_id, *expected.values()])
        return await self._writes.submit(_Statement(text, parameters, message_id))

    async def _execute(self, statements: list[_Statement]) -> Sequence[_Refused | BaseException | None]:
        outcomes: list[_Refused | BaseException | None] = [None] * len(statements)
        open_ones = list(range(len(statements)))
        for turn in range(BUSY_TRIES):
            if turn:
                await asyncio.sleep(BUSY_WAIT_SECONDS * 2 ** min(turn, 7))
            answer = await self._transport.call(
                "dynamodb",
                "batch_execute_statement",
                Statements=[
                    {
                        "Statement": statements[index].text,
                        "Parameters": list(statements[index].parameters),
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                    for index in open_ones
                ],
            )
            busy = []
            for index, response in zip(open_ones, answer["Responses"], strict=True):
                outcomes[index] = _outcome(response)
                if response.get("Error", {}).get("Code") in _BUSY:
                    busy.append(index)
            open_ones = busy
            if not open_ones:
                break
        return outcomes

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


def _started(ticket: Ticket, max_starts: int) -> tuple[Start, Ticket]:
    return (Start.STARTED if ticket.starts <= max_starts else Start.EXHAUSTED), ticket


def _possible(message_id: str) -> bool:
    return isinstance(message_id, str) and 0 < len(message_id) <= MESSAGE_ID_MAX_CHARACTERS and message_id.isascii()


def _outcome(response: dict[str, Any]) -> _Refused | BaseException | None:
    error = response.get("Error")
    if not error:
        return None
    if error.get("Code") in ("ConditionalCheckFailed", "ConditionalCheckFailedException"):
        return _Refused(JobRecord.from_item(error["Item"]) if error.get("Item") else None)
    if error.get("Code") in ("DuplicateItem", "DuplicateItemException"):
        return _Refused(None)
    return TransportError(f"DynamoDB refused to write a job record: {error.get('Code')}: {error.get('Message')}")


def _parameters(values: Any) -> tuple[dict[str, str], ...]:
    return tuple({"N": repr(value)} if isinstance(value, int | float) else {"S": str(value)} for value in values)
