"""dramatiq on SQS with dramatiq-sqs. It has no result backend for AWS: this one keeps results in DynamoDB, one item each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import dramatiq
from dramatiq.results import ResultBackend, ResultMissing, Results
from dramatiq.results.backend import Missing
from dramatiq_sqs import SQSBroker

from .driver import Handlers, Stopwatch, serve

TABLE = "dramatiq-results"
#: dramatiq's own wait for a result starts at a tenth of a second and doubles: this is quicker.
POLL_SECONDS = 0.02
RESULT_WAIT_SECONDS = 60


class DynamoDBResults(ResultBackend):  # type: ignore[misc]
    """What dramatiq requires of a result backend: store and get."""

    def __init__(self) -> None:
        super().__init__()
        self._client = boto3.client("dynamodb")

    def _store(self, message_key: str, result: Any, ttl: int) -> None:
        item = {"message_id": {"S": message_key}, "result": {"B": self.encoder.encode(result)}}
        expiry = {"expires_at": {"N": str(int(time.time() + ttl / 1000))}}
        self._client.put_item(TableName=TABLE, Item=item | expiry)

    def _get(self, message_key: str) -> Any:
        answer = self._client.get_item(TableName=TABLE, Key={"message_id": {"S": message_key}})
        return self.encoder.decode(answer["Item"]["result"]["B"]) if "Item" in answer else Missing


results = DynamoDBResults()
broker = SQSBroker(namespace="dramatiq", visibility_timeout=60)
broker.add_middleware(Results(backend=results))
dramatiq.set_broker(broker)


def echo(body: Any) -> Any:
    """The job."""
    return body


task = dramatiq.actor(echo, store_results=True)


def _result(message: Any) -> Any:
    deadline = time.monotonic() + RESULT_WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            return message.get_result(backend=results)
        except ResultMissing:
            time.sleep(POLL_SECONDS)
    raise RuntimeError(f"no result within {RESULT_WAIT_SECONDS} s")


@asynccontextmanager
async def producer() -> AsyncIterator[Handlers]:
    """The producer."""

    def bulk(jobs: int) -> dict[str, float]:
        watch = Stopwatch()
        messages = [task.send(number) for number in range(jobs)]
        watch.mark("submitted")
        for number, message in enumerate(messages):
            if _result(message) != number:
                raise RuntimeError(f"job {number} has another's result")
        watch.mark("collected")
        return watch.moments

    def post() -> dict[str, float]:
        watch = Stopwatch()
        _result(task.send(0))
        watch.mark("collected")
        return watch.moments

    yield {"bulk": bulk, "post": post}


if __name__ == "__main__":
    serve(producer())
