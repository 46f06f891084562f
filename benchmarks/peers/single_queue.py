"""The single-queue engine's pattern, call by call: nothing shares a request, and each waiting caller polls once a second.

For each job: one send and one put; one receive, one put when it starts, one put of its result, one delete; and one get a
second by its caller until the result is there.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
from botocore.config import Config

from .driver import Handlers, Stopwatch, serve

#: Seconds between two looks of a waiting caller.
POLL_SECONDS = 1.0


class SingleQueue:
    """Both ends of the pattern."""

    def __init__(self, queue_url: str, table: str) -> None:
        self._url = queue_url
        self._table = table
        self._sqs = boto3.client("sqs", config=Config(read_timeout=40))
        self._dynamodb = boto3.client("dynamodb")

    def consume(self) -> None:
        """Work forever."""
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=1, WaitTimeSeconds=20)
            for message in answer.get("Messages", []):
                self._put(message["MessageId"], "IN_PROGRESS")
                self._put(message["MessageId"], "SUCCESS", result=message["Body"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    def bulk(self, jobs: int) -> dict[str, float]:
        """Post jobs, then wait for each."""
        watch = Stopwatch()
        ids = [self._send(number) for number in range(jobs)]
        watch.mark("submitted")
        for message_id in ids:
            self._wait(message_id)
        watch.mark("collected")
        return watch.moments

    def post(self) -> dict[str, float]:
        """Post one job and wait for its result."""
        return self.bulk(1)

    def _send(self, body: Any) -> str:
        unique = uuid.uuid4().hex
        sent = self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=json.dumps(body),
            MessageGroupId=unique,
            MessageDeduplicationId=unique,
        )
        message_id: str = sent["MessageId"]
        # A consumer may have been quicker, and its record must stay.
        self._put(message_id, "SUBMITTED", condition="attribute_not_exists(message_id)")
        return message_id

    def _put(self, message_id: str, status: str, *, result: str = "", condition: str | None = None) -> None:
        item = {"message_id": {"S": message_id}, "status": {"S": status}, "result": {"S": result}}
        expiry = {"expires_at": {"N": str(int(time.time()) + 86_400)}}
        options = {"ConditionExpression": condition} if condition else {}
        try:
            self._dynamodb.put_item(TableName=self._table, Item=item | expiry, **options)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return

    def _wait(self, message_id: str) -> None:
        key = {"message_id": {"S": message_id}}
        while True:
            item = self._dynamodb.get_item(TableName=self._table, Key=key).get("Item")
            if item and item["status"]["S"] == "SUCCESS":
                return
            time.sleep(POLL_SECONDS)


@asynccontextmanager
async def producer(engine: SingleQueue) -> AsyncIterator[Handlers]:
    """The producing end."""
    yield {"bulk": engine.bulk, "post": engine.post}


def main() -> None:
    """`consume` works forever, `produce` takes commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("consume", "produce"))
    parser.add_argument("queue_url")
    parser.add_argument("table")
    chosen = parser.parse_args()
    engine = SingleQueue(chosen.queue_url, chosen.table)
    if chosen.part == "consume":
        engine.consume()
    else:
        serve(producer(engine))


if __name__ == "__main__":
    main()
