"""The operations of DynamoDB over tables in memory, as far as the library uses them, with their error codes.

Reads are consistent, responses have one page, and expired items stay until they are overwritten (as in AWS, for days).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import expressions
from .expressions import Item
from .queue_service import refusal

#: DynamoDB API Reference, BatchGetItem and BatchExecuteStatement.
KEYS_PER_CALL = 100
STATEMENTS_PER_CALL = 25

_Answer = dict[str, Any]


@dataclass(slots=True)
class Table:
    """Items by partition key and sort key ('' in a table without sort keys)."""

    keys: tuple[str, ...]
    partitions: dict[str, dict[str, Item]] = field(default_factory=dict)

    def get(self, key: Item) -> Item | None:
        """The item of a key; callers must not change it."""
        partition, sort = self.key(key)
        return self.partitions.get(partition, {}).get(sort)

    def put(self, item: Item) -> None:
        """Write an item, replacing any existing one."""
        partition, sort = self.key(item)
        self.partitions.setdefault(partition, {})[sort] = item

    def delete(self, key: Item) -> None:
        """Delete an item, if it exists."""
        partition, sort = self.key(key)
        items = self.partitions.get(partition, {})
        items.pop(sort, None)
        if not items:
            self.partitions.pop(partition, None)

    def query(self, partition: str) -> list[Item]:
        """The items of a partition in the order of their sort keys."""
        items = self.partitions.get(partition, {})
        return [items[sort] for sort in sorted(items)]

    def key(self, item: Item) -> tuple[str, str]:
        """Partition and sort key of an item, or of a key."""
        values = [str(item[name]["S"]) for name in self.keys]
        return values[0], values[1] if len(values) > 1 else ""


class TableService:
    """All tables of an account; every public method is an operation, named as boto3 names it."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def create_table(self, *, TableName: str, KeySchema: list[dict[str, str]], **_: Any) -> _Answer:
        """Make a table, which exists at once."""
        if TableName in self.tables:
            raise refusal("CreateTable", "ResourceInUseException", f"table {TableName} exists")
        self.tables[TableName] = Table(tuple(key["AttributeName"] for key in KeySchema))
        return {}

    def describe_table(self, *, TableName: str) -> _Answer:
        """The status of a table; an error if it does not exist."""
        self._table("DescribeTable", TableName)
        return {"Table": {"TableStatus": "ACTIVE"}}

    def update_time_to_live(self, *, TableName: str, **_: Any) -> _Answer:
        """Accepted: nothing expires within a simulation."""
        self._table("UpdateTimeToLive", TableName)
        return {}

    def get_item(self, *, TableName: str, Key: Item, **_: Any) -> _Answer:
        """One item."""
        item = self._table("GetItem", TableName).get(Key)
        return {} if item is None else {"Item": item}

    def put_item(self, *, TableName: str, Item: Item, **options: Any) -> _Answer:
        """Write one item, if the condition holds for the existing item."""
        table = self._table("PutItem", TableName)
        _check("PutItem", table.get(Item), options)
        table.put(Item)
        return {}

    def delete_item(self, *, TableName: str, Key: Item, **options: Any) -> _Answer:
        """Delete one item, if the condition holds for it."""
        table = self._table("DeleteItem", TableName)
        _check("DeleteItem", table.get(Key), options)
        table.delete(Key)
        return {}

    def update_item(self, *, TableName: str, Key: Item, UpdateExpression: str, **options: Any) -> _Answer:
        """Change or create an item, if the condition holds."""
        table = self._table("UpdateItem", TableName)
        found = table.get(Key)
        _check("UpdateItem", found, options)
        table.put(expressions.updated(UpdateExpression, found or Key, *_placeholders(options)))
        return {}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Item,
        **_: Any,
    ) -> _Answer:
        """All items of one partition."""
        table = self._table("Query", TableName)
        name, _equals, value = KeyConditionExpression.split()
        if name != table.keys[0]:
            raise NotImplementedError(f"query by {KeyConditionExpression}")
        return {"Items": table.query(str(ExpressionAttributeValues[value]["S"]))}

    def batch_get_item(self, *, RequestItems: dict[str, dict[str, Any]]) -> _Answer:
        """Many items by their keys; missing items are left out."""
        responses = {}
        for name, wanted in RequestItems.items():
            table = self._table("BatchGetItem", name)
            _refuse_repetition("BatchGetItem", [str(key) for key in wanted["Keys"]], KEYS_PER_CALL)
            found = (table.get(key) for key in wanted["Keys"])
            responses[name] = [item for item in found if item is not None]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def batch_execute_statement(self, *, Statements: list[dict[str, Any]]) -> _Answer:
        """PartiQL statements, each with its own condition and error."""
        bound = [(one, *expressions.bind(one["Statement"], one["Parameters"])) for one in Statements]
        tables = [self._table("BatchExecuteStatement", statement.table) for _, statement, _, _ in bound]
        keys = [str(table.key(where or fields)) for table, (_, _, fields, where) in zip(tables, bound, strict=True)]
        _refuse_repetition("BatchExecuteStatement", keys, STATEMENTS_PER_CALL)
        return {
            "Responses": [
                _insert(table, fields) if statement.inserts else _update(table, fields, where, asked)
                for table, (asked, statement, fields, where) in zip(tables, bound, strict=True)
            ]
        }

    def _table(self, operation: str, name: str) -> Table:
        if name not in self.tables:
            raise refusal(operation, "ResourceNotFoundException", f"no table {name}")
        return self.tables[name]


def _insert(table: Table, item: Item) -> _Answer:
    if table.get(item) is not None:
        return {"Error": {"Code": "DuplicateItem", "Message": "the item exists"}}
    table.put(item)
    return {}


def _update(table: Table, fields: Item, where: Item, asked: dict[str, Any]) -> _Answer:
    found = table.get(where)
    if found is not None and _equal(found, where):
        table.put(found | fields)
        return {}
    error: _Answer = {"Code": "ConditionalCheckFailed", "Message": "the condition does not hold"}
    if found is not None and asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        error["Item"] = found
    return {"Error": error}


def _refuse_repetition(operation: str, keys: list[str], most: int) -> None:
    if len(keys) > most or len(set(keys)) < len(keys):
        raise refusal(operation, "ValidationException", f"more than {most} items, or one of them twice")


def _equal(item: Item, expected: Item) -> bool:
    return all(name in item and expressions.compare(item[name], "=", value) for name, value in expected.items())


def _placeholders(options: dict[str, Any]) -> tuple[dict[str, str], Item]:
    return options.get("ExpressionAttributeNames", {}), options.get("ExpressionAttributeValues", {})


def _check(operation: str, item: Item | None, options: dict[str, Any]) -> None:
    condition = options.get("ConditionExpression")
    if condition is None or expressions.holds(condition, item, *_placeholders(options)):
        return
    error = refusal(operation, "ConditionalCheckFailedException", "the condition does not hold")
    if item is not None and options.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        error.response["Item"] = item
    raise error
