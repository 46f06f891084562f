"""Rows of the registry table, by partition and sort key. Their meaning is up to the modules that use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ..errors import TransportError
from .transport import Transport, error_code, pages

Item = dict[str, Any]


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
