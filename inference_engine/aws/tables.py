"""DynamoDB: rows by partition and sort key, and single items by key, many in a request. Their meaning is up to their users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aio.batching import Batcher
from ..aio.partial_retry import Again, send_all
from ..errors import TransportError
from .transport import Transport, error_code, pages

Item = dict[str, Any]

#: DynamoDB API Reference, BatchExecuteStatement: the maximum number of statements.
STATEMENTS_PER_CALL = 25
#: DynamoDB accepts a request of at most 16 MB; a batch of statements stays far below.
STATEMENTS_MAX_BYTES = 4_000_000
#: DynamoDB API Reference, BatchGetItem: keys in one request.
KEYS_PER_CALL = 100
#: Batches in flight at once.
WRITES_AT_ONCE = 8
READS_AT_ONCE = 4
#: Statements that DynamoDB was too busy for are tried up to this many times. Reads are tried until their caller gives up.
WRITE_TRIES = 10

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


class Rows:
    """Reads and writes single rows and whole partitions."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._transport = transport
        self._table = table

    async def of(self, pk: str, *, consistent: bool = False) -> AsyncIterator[Item]:
        """All rows of a partition in the order of their sort keys."""
        async for answer in pages(
            self._transport,
            "dynamodb",
            "query",
            token="LastEvaluatedKey",  # noqa: S106 - a field's name
            start="ExclusiveStartKey",
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=consistent,
        ):
            for item in answer["Items"]:
                yield item

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        """One row; None if there is none."""
        answer = await self._transport.call(
            "dynamodb", "get_item", TableName=self._table, Key=key(pk, sk), ConsistentRead=consistent
        )
        return answer.get("Item")

    async def put(self, pk: str, sk: str, fields: Item, expires_at: float | None = None, **condition: Any) -> bool:
        """Write a row, replacing any existing one; False if a `ConditionExpression` in `condition` did not hold.

        `expires_at` is in Unix seconds.
        """
        item = key(pk, sk) | fields
        if expires_at is not None:
            item["expires_at"] = {"N": str(int(expires_at))}
        return await self._conditional("put_item", Item=item, **condition)

    async def update(self, pk: str, sk: str, expression: str, values: Item, **options: Any) -> bool:
        """Change fields of a row, or create it; False if a `ConditionExpression` in `options` did not hold."""
        return await self._conditional(
            "update_item",
            Key=key(pk, sk),
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
            **options,
        )

    async def delete(self, pk: str, sk: str, **condition: Any) -> bool:
        """Delete a row if it exists; False if a `ConditionExpression` in `condition` did not hold."""
        return await self._conditional("delete_item", Key=key(pk, sk), **condition)

    async def _conditional(self, operation: str, **parameters: Any) -> bool:
        try:
            await self._transport.call("dynamodb", operation, TableName=self._table, **parameters)
        except TransportError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True


def key(pk: str, sk: str) -> Item:
    """The key of a row in DynamoDB's form."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


@dataclass(frozen=True, slots=True)
class ConditionFailed:
    """The condition did not hold; `item` is what was found instead.

    None where there is no item, and where an insert found one: DynamoDB does not return it.
    """

    item: Item | None


#: What came of a write; None: it is written.
_Written = ConditionFailed | BaseException | None


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    parameters: list[dict[str, str]]
    key: str

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(value) for parameter in self.parameters for value in parameter.values())


class Items:
    """Single items of a table whose key is the string `key`. Concurrent writes share requests, and so do concurrent reads.

    Writes are PartiQL statements of plain comparisons, because only those can be batched with conditions (DynamoDB Developer
    Guide, "Running batch operations with PartiQL"): BatchWriteItem has no conditions; TransactWriteItems fails as a whole and
    costs twice as much. Each has its own condition and outcome, None once written. A `patient` one waits a moment for others.
    """

    def __init__(self, transport: Transport, table: str, key: str) -> None:
        self._transport = transport
        self._table = table
        self._key = key
        self._writes: Batcher[_Statement, ConditionFailed | None] = Batcher(
            self._write_batch,
            max_items=STATEMENTS_PER_CALL,
            max_bytes=STATEMENTS_MAX_BYTES,
            size_of=lambda statement: statement.size,
            # DynamoDB rejects a batch that names an item twice.
            key_of=lambda statement: statement.key,
            concurrency=WRITES_AT_ONCE,
        )
        self._reads: Batcher[str, Item | None] = Batcher(
            self._read_batch, max_items=KEYS_PER_CALL, key_of=lambda value: value, concurrency=READS_AT_ONCE
        )

    async def insert(self, value: str, fields: Mapping[str, Any], *, patient: bool = False) -> ConditionFailed | None:
        """Write a new item; refused if it exists. Raises TransportError."""
        names = ", ".join(f"'{name}': ?" for name in (self._key, *fields))
        text = f'INSERT INTO "{self._table}" VALUE {{{names}}}'
        return await self._writes.submit(_statement(text, [value, *fields.values()], value), patient=patient)

    async def update(
        self, value: str, fields: Mapping[str, Any], expected: Mapping[str, Any], *, patient: bool = False
    ) -> ConditionFailed | None:
        """Set fields of an item; refused unless it has all of `expected`. Raises TransportError."""
        assignments = ", ".join(f'"{name}"=?' for name in fields)
        conditions = " AND ".join(f'"{name}"=?' for name in (self._key, *expected))
        text = f'UPDATE "{self._table}" SET {assignments} WHERE {conditions}'  # noqa: S608 - names are the library's own
        parameters = [*fields.values(), value, *expected.values()]
        return await self._writes.submit(_statement(text, parameters, value), patient=patient)

    async def get(self, value: str) -> Item | None:
        """An item, eventually consistent; None if there is none. Raises TransportError."""
        return await self._reads.submit(value)

    async def current(self, value: str) -> Item | None:
        """An item by a consistent read in a request of its own; None if there is none. Raises TransportError."""
        return (await self._read_batch([value], consistent=True))[0]

    async def close(self) -> None:
        """Wait for pending writes."""
        await self._writes.close()

    async def _write_batch(self, statements: list[_Statement]) -> Sequence[ConditionFailed | BaseException | None]:
        return await send_all(statements, self._write, tries=WRITE_TRIES)

    async def _write(self, statements: list[_Statement]) -> list[_Written | Again[_Written]]:
        requests = [
            {
                "Statement": statement.text,
                "Parameters": statement.parameters,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            for statement in statements
        ]
        answer = await self._transport.call("dynamodb", "batch_execute_statement", Statements=requests)
        return [self._outcome(response.get("Error")) for response in answer["Responses"]]

    def _outcome(self, error: Mapping[str, Any] | None) -> _Written | Again[_Written]:
        if not error:
            return None
        code = error.get("Code")
        if code in ("ConditionalCheckFailed", "ConditionalCheckFailedException"):
            return ConditionFailed(error.get("Item") or None)
        if code in ("DuplicateItem", "DuplicateItemException"):
            return ConditionFailed(None)
        refused = TransportError(f"DynamoDB refused to write an item of {self._table}: {code}: {error.get('Message')}")
        return Again(refused) if code in _BUSY else refused

    async def _read_batch(self, values: list[str], *, consistent: bool = False) -> Sequence[Item | None]:
        async def read(values: list[str]) -> list[Item | Again[Item | None] | None]:
            keys = [{self._key: {"S": value}} for value in values]
            request = {self._table: {"Keys": keys, "ConsistentRead": consistent}}
            answer = await self._transport.call("dynamodb", "batch_get_item", RequestItems=request)
            found = {item[self._key]["S"]: item for item in answer["Responses"].get(self._table, [])}
            unread = (answer.get("UnprocessedKeys") or {}).get(self._table, {}).get("Keys", [])
            again = {key[self._key]["S"] for key in unread}
            return [Again(None) if value in again else found.get(value) for value in values]

        return await send_all(values, read)


def _statement(text: str, values: Sequence[Any], key: str) -> _Statement:
    return _Statement(text, [{"S": one} if isinstance(one, str) else {"N": repr(one)} for one in values], key)
