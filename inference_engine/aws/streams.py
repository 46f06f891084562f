"""Reads a table's changes from its DynamoDB stream: for the local stack, where no Lambda reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ..errors import NotProvisionedError
from .transport import Transport, error_code

#: An iterator expires after 15 minutes (DynamoDB API Reference, GetShardIterator): this machine slept, and so did its jobs.
_LAPSED = frozenset({"ExpiredIteratorException", "TrimmedDataAccessException"})


class TableStream:
    """Reads all shards of a table's stream, from the call of `open` on.

    Shards that split off later are read from their beginning (DynamoDB Developer Guide, "Reading and processing a stream").
    """

    def __init__(self, transport: Transport, table: str) -> None:
        self._transport = transport
        self._table = table
        self._arn = ""
        self._known: set[str] = set()
        self._iterators: dict[str, str] = {}
        self._split = False

    async def open(self) -> None:
        """Move to the stream's end. Raises TransportError, and NotProvisionedError where the table has no stream.

        An exception leaves this object unchanged.
        """
        table = (await self._transport.call("dynamodb", "describe_table", TableName=self._table))["Table"]
        if not table.get("LatestStreamArn"):
            raise NotProvisionedError(
                f"table {self._table} has no stream; delete the table; it is then recreated with one"
            )
        arn = table["LatestStreamArn"]
        iterators = await self._new_iterators(arn, "LATEST", frozenset())
        self._arn, self._known, self._iterators, self._split = arn, set(iterators), iterators, False

    async def read(self) -> list[dict[str, Any]]:
        """The changes since the last read, in order for each item. Raises TransportError, after which the call may be repeated.

        If an iterator has expired, this moves to the stream's end before it raises: changes in between are not read.
        """
        if self._split:
            new = await self._new_iterators(self._arn, "TRIM_HORIZON", self._known)
            self._known |= new.keys()
            self._iterators |= new
            self._split = False
        shards = list(self._iterators)
        # All reads end before an error is handled, so none is still running when `open` or the next `read` begins.
        answers = await asyncio.gather(
            *(self._read(self._iterators[shard]) for shard in shards), return_exceptions=True
        )
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if any(error_code(error) in _LAPSED for error in errors):
            await self.open()
        if errors:
            raise errors[0]
        answered = [answer for answer in answers if not isinstance(answer, BaseException)]
        return self._passed(dict(zip(shards, answered, strict=True)))

    def _passed(self, answers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Advance all shards and return their records, so that none is read twice."""
        for shard, answer in answers.items():
            if following := answer.get("NextShardIterator"):
                self._iterators[shard] = following
            else:
                del self._iterators[shard]
                self._split = True
        return [record for answer in answers.values() for record in answer["Records"]]

    async def _read(self, iterator: str) -> dict[str, Any]:
        return await self._transport.call("dynamodbstreams", "get_records", ShardIterator=iterator)

    async def _new_iterators(self, arn: str, start: str, known: AbstractSet[str]) -> dict[str, str]:
        """Iterators for all unknown shards by shard id, from `start` on."""
        found: dict[str, str] = {}
        page: dict[str, str] = {}
        while True:
            answer = await self._transport.call("dynamodbstreams", "describe_stream", StreamArn=arn, **page)
            stream = answer["StreamDescription"]
            for shard in (listed["ShardId"] for listed in stream["Shards"]):
                if shard not in known:
                    found[shard] = await self._iterator(arn, shard, start)
            if not stream.get("LastEvaluatedShardId"):
                return found
            page = {"ExclusiveStartShardId": stream["LastEvaluatedShardId"]}

    async def _iterator(self, arn: str, shard: str, start: str) -> str:
        answer = await self._transport.call(
            "dynamodbstreams", "get_shard_iterator", StreamArn=arn, ShardId=shard, ShardIteratorType=start
        )
        iterator: str = answer["ShardIterator"]
        return iterator
