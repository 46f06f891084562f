"""Conditional writes to the jobs table, up to 25 in one request, each with its own condition and outcome.

They are PartiQL statements of plain comparisons, because only those can be batched with conditions (DynamoDB Developer Guide,
"Running batch operations with PartiQL"): BatchWriteItem has no conditions; TransactWriteItems fails as a whole and costs twice
as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aio.batching import Batcher
from ..aws.transport import Transport
from ..errors import TransportError
from .record import JobRecord

#: DynamoDB API Reference, BatchExecuteStatement: the maximum number of statements.
STATEMENTS_PER_CALL = 25
#: DynamoDB accepts a request of at most 16 MB; a batch of statements stays far below.
BATCH_MAX_BYTES = 4_000_000
#: Batches in flight at once.
CALLS_AT_ONCE = 8
#: Statements that DynamoDB was too busy for are tried up to this many times; the wait doubles each time, up to 6.4 s.
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


@dataclass(frozen=True, slots=True)
class ConditionFailed:
    """The condition did not hold; `record` is the record found instead.

    None where there is no record, and where an insert found one: DynamoDB does not return it.
    """

    record: JobRecord | None


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    parameters: list[dict[str, str]]
    key: str

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(value) for parameter in self.parameters for value in parameter.values())


class Statements:
    """Inserts and updates of one table by `message_id`; None once written. `patient` ones wait a moment for others."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._transport = transport
        self._table = table
        self._batcher: Batcher[_Statement, ConditionFailed | None] = Batcher(
            self._execute,
            max_items=STATEMENTS_PER_CALL,
            max_bytes=BATCH_MAX_BYTES,
            size_of=lambda statement: statement.size,
            # DynamoDB rejects a batch that names an item twice.
            key_of=lambda statement: statement.key,
            concurrency=CALLS_AT_ONCE,
        )

    async def insert(
        self, message_id: str, fields: Mapping[str, Any], *, patient: bool = False
    ) -> ConditionFailed | None:
        """Write a new item; refused if it exists. Raises TransportError."""
        names = ", ".join(f"'{name}': ?" for name in ("message_id", *fields))
        text = f'INSERT INTO "{self._table}" VALUE {{{names}}}'
        statement = _Statement(text, _parameters([message_id, *fields.values()]), message_id)
        return await self._batcher.submit(statement, patient=patient)

    async def update(
        self, message_id: str, fields: Mapping[str, Any], expected: Mapping[str, Any], *, patient: bool = False
    ) -> ConditionFailed | None:
        """Set fields of an item; refused unless it has all of `expected`. Raises TransportError."""
        assignments = ", ".join(f'"{name}"=?' for name in fields)
        conditions = " AND ".join(f'"{name}"=?' for name in ("message_id", *expected))
        text = f'UPDATE "{self._table}" SET {assignments} WHERE {conditions}'  # noqa: S608 - names are the library's own
        parameters = _parameters([*fields.values(), message_id, *expected.values()])
        return await self._batcher.submit(_Statement(text, parameters, message_id), patient=patient)

    async def close(self) -> None:
        """Wait for pending writes."""
        await self._batcher.close()

    async def _execute(self, statements: list[_Statement]) -> Sequence[ConditionFailed | BaseException | None]:
        outcomes: list[ConditionFailed | BaseException | None] = [None] * len(statements)
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
                        "Parameters": statements[index].parameters,
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                    for index in open_ones
                ],
            )
            busy = []
            for index, response in zip(open_ones, answer["Responses"], strict=True):
                error = response.get("Error")
                outcomes[index] = _outcome(error) if error else None
                if error and error.get("Code") in _BUSY:
                    busy.append(index)
            open_ones = busy
            if not open_ones:
                break
        return outcomes


def _outcome(error: Mapping[str, Any]) -> ConditionFailed | BaseException:
    if error.get("Code") in ("ConditionalCheckFailed", "ConditionalCheckFailedException"):
        return ConditionFailed(JobRecord.from_item(error["Item"]) if error.get("Item") else None)
    if error.get("Code") in ("DuplicateItem", "DuplicateItemException"):
        return ConditionFailed(None)
    return TransportError(f"DynamoDB refused to write a job record: {error.get('Code')}: {error.get('Message')}")


def _parameters(values: Sequence[Any]) -> list[dict[str, str]]:
    return [{"S": value} if isinstance(value, str) else {"N": repr(value)} for value in values]
