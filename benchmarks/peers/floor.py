"""The floor: what one would write by hand for exactly this work, with aioboto3 and batches, and no framework.

It makes the same record writes as the library: for a quick job SUBMITTED, if there is no record yet, and SUCCESS, if the record
is untouched since; for a blocking post only SUCCESS. Each is a conditional statement, up to 25 in a request. Ten messages share
an SQS request, and a hundred reads share a request. It has one or more pollers for each of its fixed queues, and nothing else:
no placement, no check whether a job was cancelled or done before, no retries, heartbeats, leases, large payloads or draining.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3
from botocore.config import Config

from .driver import Handlers, Stopwatch, serve

#: Poll interval of a lone caller that waits for its result.
POLL_SECONDS = 0.02
TTL_SECONDS = 86_400

Statement = tuple[str, list[Any]]


class Table:
    """The jobs table: conditional writes that share requests, and reads."""

    def __init__(self, client: Any, name: str, tasks: asyncio.TaskGroup, writers: int) -> None:
        self._client = client
        self._name = name
        self._queue: asyncio.Queue[tuple[Statement, asyncio.Future[dict[str, Any]]]] = asyncio.Queue()
        self._writers = [tasks.create_task(self._write_on()) for _ in range(writers)]

    def close(self) -> None:
        for writer in self._writers:
            writer.cancel()

    def insert(self, fields: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Write a record if there is none; returns DynamoDB's answer."""
        names = ", ".join(f"'{name}': ?" for name in fields)
        return self._submit((f'INSERT INTO "{self._name}" VALUE {{{names}}}', list(fields.values())))

    def finish(self, message_id: str, fields: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Change a record if it is untouched; returns DynamoDB's answer."""
        changes = ", ".join(f'"{name}"=?' for name in fields)
        text = f'UPDATE "{self._name}" SET {changes} WHERE "message_id"=? AND "status"=? AND "attempt"=?'
        return self._submit((text, [*fields.values(), message_id, "SUBMITTED", 0]))

    def _submit(self, statement: Statement) -> asyncio.Future[dict[str, Any]]:
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((statement, answered))
        return answered

    async def _write_on(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < 25 and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            answer = await self._client.batch_execute_statement(
                Statements=[
                    {
                        "Statement": text,
                        "Parameters": [_attribute(value) for value in values],
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                    for (text, values), _ in batch
                ]
            )
            for (_, answered), response in zip(batch, answer["Responses"], strict=True):
                answered.set_result(response)

    async def finished(self, message_ids: Sequence[str]) -> set[str]:
        """Which of up to 100 jobs have a result."""
        keys = [{"message_id": {"S": message_id}} for message_id in message_ids]
        answer = await self._client.batch_get_item(RequestItems={self._name: {"Keys": keys}})
        return {item["message_id"]["S"] for item in answer["Responses"][self._name] if item["status"]["S"] == "SUCCESS"}


@asynccontextmanager
async def connected(table: str, connections: int, writers: int) -> AsyncIterator[tuple[Any, Table]]:
    """The SQS client and the table; `writers` requests of up to 25 statements go to the table at once."""
    session = aioboto3.Session()
    config = Config(max_pool_connections=connections, read_timeout=40)
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(session.client("sqs", config=config))
        dynamodb = await stack.enter_async_context(session.client("dynamodb", config=config))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        records = Table(dynamodb, table, tasks, writers)
        stack.callback(records.close)
        yield sqs, records


async def consume(queue_urls: Sequence[str], table: str, pollers: int, writers: int) -> None:
    """Work forever."""
    connections = 2 * pollers * len(queue_urls)
    async with connected(table, connections, writers) as (sqs, records), asyncio.TaskGroup() as tasks:
        for url in queue_urls:
            for _ in range(pollers):
                tasks.create_task(_poll(sqs, records, url))


async def _poll(sqs: Any, records: Table, url: str) -> None:
    while True:
        answer = await sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        if messages:
            await asyncio.gather(*(_run(records, message) for message in messages))
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ]
            await sqs.delete_message_batch(QueueUrl=url, Entries=entries)


async def _run(records: Table, message: dict[str, Any]) -> None:
    job, started_at = json.loads(message["Body"]), time.time()
    result = json.dumps(job["body"])
    end = {
        "status": "SUCCESS",
        "attempt": int(message["Attributes"]["ApproximateReceiveCount"]),
        "consumer": f"floor-{os.getpid()}",
        "started_at": started_at,
        "finished_at": time.time(),
        "result": result,
    }
    known = job["recorded"]
    while True:
        message_id = message["MessageId"]
        if known:
            refused = (await records.finish(message_id, end)).get("Error")
        else:
            refused = (await records.insert(_record(message_id, job) | end)).get("Error")
        if not refused or "Item" in refused:
            # If the record holds something else, the job was done before and its message was about to be deleted.
            return
        # The consumer was quicker than the producer, or the producer came first after all.
        known = not known


class Floor:
    """The producer. `group_per_job` gives up the order of a label's jobs."""

    def __init__(self, sqs: Any, records: Table, queue_urls: Sequence[str], group_per_job: bool) -> None:
        self._sqs = sqs
        self._records = records
        self._queue_urls = queue_urls
        self._group_per_job = group_per_job

    async def bulk(self, jobs: int) -> dict[str, float]:
        """Post jobs evenly to all queues, then collect all results."""
        watch = Stopwatch()
        posted = await asyncio.gather(*(self._send(url, jobs // len(self._queue_urls)) for url in self._queue_urls))
        await asyncio.gather(*(record for _, records in posted for record in records))
        watch.mark("submitted")
        await self._collect(
            [message_id for same in zip(*(ids for ids, _ in posted), strict=True) for message_id in same]
        )
        watch.mark("collected")
        return watch.moments

    async def post(self, queue: int = 0) -> dict[str, float]:
        """Post one job and wait for its result."""
        watch = Stopwatch()
        ids, _ = await self._send(self._queue_urls[queue], 1, recorded=False)
        await self._collect(ids)
        watch.mark("collected")
        return watch.moments

    async def _send(
        self, url: str, count: int, *, recorded: bool = True
    ) -> tuple[list[str], list[asyncio.Future[dict[str, Any]]]]:
        ids, records = [], []
        for start in range(0, count, 10):
            jobs = [self._job(url, number, recorded) for number in range(start, min(start + 10, count))]
            entries = [
                {
                    "Id": str(index),
                    "MessageBody": json.dumps(job),
                    "MessageGroupId": job["request_id"] if self._group_per_job else "all",
                    "MessageDeduplicationId": job["request_id"],
                }
                for index, job in enumerate(jobs)
            ]
            answer = await self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            for sent in answer["Successful"]:
                ids.append(sent["MessageId"])
                if recorded:
                    records.append(self._records.insert(_record(sent["MessageId"], jobs[int(sent["Id"])])))
        return ids, records

    def _job(self, url: str, number: int, recorded: bool) -> dict[str, Any]:
        return {
            "label": url.rpartition("/")[2].removesuffix(".fifo"),
            "request_id": uuid.uuid4().hex,
            "submitted_at": time.time(),
            "body": number,
            "recorded": recorded,
        }

    async def _collect(self, message_ids: list[str]) -> None:
        pending = dict.fromkeys(message_ids)
        while pending:
            head = [message_id for message_id, _ in zip(pending, range(100), strict=False)]
            finished = await self._records.finished(head)
            for message_id in finished:
                del pending[message_id]
            if len(finished) < len(head) / 2:
                await asyncio.sleep(POLL_SECONDS)


def _record(message_id: str, job: dict[str, Any]) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "label": job["label"],
        "request_id": job["request_id"],
        "status": "SUBMITTED",
        "attempt": 0,
        "submitted_at": job["submitted_at"],
        "expires_at": int(time.time() + TTL_SECONDS),
    }


def _attribute(value: Any) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": repr(value)}


@asynccontextmanager
async def floor(queue_urls: Sequence[str], table: str, writers: int, group_per_job: bool) -> AsyncIterator[Handlers]:
    """The producer, connected."""
    async with connected(table, 4 * len(queue_urls), writers) as (sqs, records):
        producer = Floor(sqs, records, queue_urls, group_per_job)
        yield {"bulk": producer.bulk, "post": producer.post}


def main() -> None:
    """`consume` works forever, `produce` takes commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("consume", "produce"))
    parser.add_argument("--table", required=True)
    parser.add_argument("--queue-url", action="append", required=True, dest="queue_urls")
    parser.add_argument("--pollers", type=int, default=1, help="of each queue")
    parser.add_argument("--writers", type=int, default=1, help="requests to the table at once")
    parser.add_argument("--group-per-job", action="store_true")
    chosen = parser.parse_args()
    if chosen.part == "consume":
        asyncio.run(consume(chosen.queue_urls, chosen.table, chosen.pollers, chosen.writers))
    else:
        serve(floor(chosen.queue_urls, chosen.table, chosen.writers, chosen.group_per_job))


if __name__ == "__main__":
    main()
