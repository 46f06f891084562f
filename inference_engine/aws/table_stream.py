"""The changes of a table as they come, by its DynamoDB stream: for the local stack, where no Lambda reads it."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import NotProvisionedError, TransportError
from .session import Transport, error_code

#: An iterator lapses after 15 minutes (DynamoDB API Reference, GetShardIterator): this machine slept, and so did its jobs.
_LAPSED = frozenset({"ExpiredIteratorException", "TrimmedDataAccessException"})


class TableStream:
    """Reads all shards of a table's stream from the moment of `open` on.

    Shards that are split off later are read from their beginning (DynamoDB Developer Guide, "Reading and processing a stream").
    """

    def __init__(self, transport: Transport, table: str) -> None:
        self._transport = transport
        self._table = table
        self._arn = ""
        self._known: set[str] = set()
        self._iterators: dict[str, str] = {}
        self._split = False

    async def open(self) -> None:
        """Stand at the stream's end. Raises NotProvisionedError where the table has no stream."""
        table = (await self._transport.call("dynamodb", "describe_table", TableName=self._table))["Table"]
        if not table.get("LatestStreamArn"):
            raise NotProvisionedError(f"table {self._table} has no stream; delete it, it is then made anew with one")
        self._arn = table["LatestStreamArn"]
        self._known.clear()
        self._iterators.clear()
        await self._follow("LATEST")

    async def read(self) -> list[dict[str, Any]]:
        """The changes since the last look, each item's in order. Raises TransportError, and may then be repeated."""
        if self._split:
            await self._follow("TRIM_HORIZON")
        shards = list(self._iterators)
        answers = await asyncio.gather(*(self._read(self._iterators[shard]) for shard in shards))
        # Only when all have answered is one of them passed.
        for shard, answer in zip(shards, answers, strict=True):
            if following := answer.get("NextShardIterator"):
                self._iterators[shard] = following
            else:
                del self._iterators[shard]
                self._split = True
        return [record for answer in answers for record in answer["Records"]]

    async def _read(self, iterator: str) -> dict[str, Any]:
        try:
            return await self._transport.call("dynamodbstreams", "get_records", ShardIterator=iterator)
        except TransportError as error:
            if error_code(error) in _LAPSED:
                await self.open()
            raise

    async def _follow(self, start: str) -> None:
        """Read the shards that are new from `start` on."""
        page: dict[str, str] = {}
        while True:
            answer = await self._transport.call("dynamodbstreams", "describe_stream", StreamArn=self._arn, **page)
            stream = answer["StreamDescription"]
            for shard in stream["Shards"]:
                await self._add(shard["ShardId"], start)
            if not stream.get("LastEvaluatedShardId"):
                self._split = False
                return
            page = {"ExclusiveStartShardId": stream["LastEvaluatedShardId"]}

    async def _add(self, shard: str, start: str) -> None:
        if shard in self._known:
            return
        answer = await self._transport.call(
            "dynamodbstreams", "get_shard_iterator", StreamArn=self._arn, ShardId=shard, ShardIteratorType=start
        )
        self._known.add(shard)
        self._iterators[shard] = answer["ShardIterator"]
