"""The reader of a table's stream: shards that are split, iterators that lapse, and AWS failing at any moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aws.streams import TableStream
from inference_engine.aws.transport import Service
from inference_engine.errors import NotProvisionedError, TransportError


class Stream:
    """A transport over shards in memory, two listed in a page. An iterator is `shard/position`, and void after `lapse`."""

    def __init__(self) -> None:
        self.shards: dict[str, list[int]] = {"s0": []}
        self.ended: set[str] = set()
        self.lapsed = 0
        self.calls = Counter[str]()
        #: Calls by number from now on that fail, and by operation.
        self.faults: set[int | str] = set()
        self.there = True
        self.reading: dict[str, asyncio.Event] = {}

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.calls[operation] += 1
        if self.faults & {operation, sum(self.calls.values())}:
            raise refusal("InternalServerError")
        answer: dict[str, Any] = getattr(self, operation)(**parameters)
        if (gate := self.reading.get(parameters.get("ShardIterator", "").partition("/")[0])) is not None:
            await gate.wait()
        return answer

    async def close(self) -> None:
        pass

    def describe_table(self, **_: Any) -> dict[str, Any]:
        return {"Table": {"LatestStreamArn": "arn"} if self.there else {}}

    def describe_stream(self, ExclusiveStartShardId: str | None = None, **_: Any) -> dict[str, Any]:
        names = list(self.shards)
        start = names.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = names[start : start + 2]
        more = {"LastEvaluatedShardId": page[-1]} if start + 2 < len(names) else {}
        return {"StreamDescription": {"Shards": [{"ShardId": name} for name in page]} | more}

    def get_shard_iterator(self, ShardId: str, ShardIteratorType: str, **_: Any) -> dict[str, Any]:
        position = len(self.shards[ShardId]) if ShardIteratorType == "LATEST" else 0
        return {"ShardIterator": f"{ShardId}/{position}/{self.lapsed}"}

    def get_records(self, ShardIterator: str) -> dict[str, Any]:
        shard, position, made = ShardIterator.split("/")
        if int(made) < self.lapsed:
            raise refusal("ExpiredIteratorException")
        records = self.shards[shard][int(position) :]
        following = {} if shard in self.ended else {"NextShardIterator": f"{shard}/{len(self.shards[shard])}/{made}"}
        return {"Records": [{"number": record} for record in records]} | following

    def split(self, shard: str) -> None:
        """End a shard; two others take its place."""
        self.ended.add(shard)
        for _ in range(2):
            self.shards[f"s{len(self.shards)}"] = []

    def lapse(self) -> None:
        self.lapsed += 1

    @property
    def open_shards(self) -> list[str]:
        return [shard for shard in self.shards if shard not in self.ended]


def refusal(code: str) -> TransportError:
    error = TransportError(code)
    error.__cause__ = ClientError({"Error": {"Code": code, "Message": ""}}, "GetRecords")
    return error


async def opened() -> tuple[Stream, TableStream]:
    aws = Stream()
    stream = TableStream(aws, "jobs")
    await stream.open()
    return aws, stream


async def numbers(stream: TableStream) -> list[int]:
    return [record["number"] for record in await stream.read()]


async def test_what_was_there_before_is_not_read_and_what_comes_is_read_once() -> None:
    aws = Stream()
    aws.shards["s0"] = [1, 2]
    stream = TableStream(aws, "jobs")
    await stream.open()
    aws.shards["s0"].append(3)
    assert await numbers(stream) == [3]
    assert await numbers(stream) == []


async def test_shards_that_are_split_off_are_read_from_their_beginning() -> None:
    aws, stream = await opened()
    aws.shards["s0"].append(1)
    aws.split("s0")
    aws.shards["s1"].append(2)
    aws.split("s1")
    aws.shards["s2"].append(3)
    aws.shards["s4"].append(4)
    assert await numbers(stream) == [1]
    assert sorted(await numbers(stream)) == [2, 3, 4]
    before = aws.calls.copy()
    assert await numbers(stream) == []
    assert aws.calls - before == {"get_records": 3, "describe_stream": 3}, "s1 has ended, and what follows it is known"


async def test_a_lapsed_iterator_is_told_and_what_comes_then_is_read() -> None:
    aws, stream = await opened()
    aws.lapse()
    aws.shards["s0"].append(1)
    with pytest.raises(TransportError, match="Expired"):
        await stream.read()
    aws.shards["s0"].append(2)
    assert await numbers(stream) == [2]


@pytest.mark.parametrize("operation", ["describe_table", "describe_stream", "get_shard_iterator"])
async def test_a_stream_that_cannot_be_opened_anew_is_told_until_it_can(operation: str) -> None:
    aws, stream = await opened()
    aws.lapse()
    aws.faults = {operation}
    for _ in range(3):
        with pytest.raises(TransportError):
            await stream.read()
    aws.faults = set()
    with pytest.raises(TransportError, match="Expired"):
        await stream.read()
    aws.shards["s0"].append(1)
    assert await numbers(stream) == [1]


async def test_iterators_that_lapse_together_are_made_anew_once() -> None:
    aws, stream = await opened()
    aws.split("s0")
    await stream.read()
    await stream.read()
    aws.lapse()
    before = aws.calls.copy()
    with pytest.raises(TransportError):
        await stream.read()
    assert (aws.calls - before)["describe_table"] == 1


async def test_no_shard_is_read_on_after_anothers_error() -> None:
    aws, stream = await opened()
    aws.split("s0")
    await stream.read()
    await stream.read()
    aws.faults = {sum(aws.calls.values()) + 1}
    slow = aws.reading["s2"] = asyncio.Event()
    reading = asyncio.create_task(stream.read())
    for _ in range(20):
        await asyncio.sleep(0)  # more often than one error needs to come through
    assert not reading.done()
    slow.set()
    with pytest.raises(TransportError):
        await reading


async def test_a_table_without_a_stream_is_told() -> None:
    aws = Stream()
    aws.there = False
    with pytest.raises(NotProvisionedError, match="jobs has no stream"):
        await TableStream(aws, "jobs").open()


steps = st.lists(st.sampled_from(["write", "split", "read"]), max_size=30)


@given(steps, st.frozensets(st.integers(1, 60)))
def test_nothing_is_left_out_or_read_twice_whatever_fails(steps: list[str], faults: frozenset[int]) -> None:
    """While no iterator lapses. Of one shard, records come in their order."""

    async def run() -> tuple[list[int], list[int]]:
        aws, stream = await opened()
        opening = sum(aws.calls.values())
        aws.faults = {opening + number for number in faults}
        written, read = [], []
        for number, step in enumerate(steps):
            if step == "write":
                aws.shards[aws.open_shards[number % len(aws.open_shards)]].append(number)
                written.append(number)
            elif step == "split":
                aws.split(aws.open_shards[number % len(aws.open_shards)])
            else:
                try:
                    read += await numbers(stream)
                except TransportError:
                    continue
        aws.faults = set()
        for _ in range(len(steps) + 1):
            read += await numbers(stream)
        return written, read

    written, read = asyncio.run(run())
    assert sorted(read) == written
