"""taskiq on SQS with taskiq-aio-sqs. Its result backend for AWS is S3; this one uses DynamoDB like all the others.

The S3 backend was tried and is slower: each wait is a HEAD and a GET.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import get_session
from taskiq import AsyncResultBackend, TaskiqResult
from taskiq_aio_sqs import SQSBroker

from .driver import Handlers, Stopwatch, serve

TABLE = "taskiq-results"
POLL_SECONDS = 0.02
RESULT_WAIT_SECONDS = 60
#: Concurrent posts, and concurrent looks for results.
CONCURRENCY = 10
TTL_SECONDS = 86_400


class DynamoDBResults(AsyncResultBackend[Any]):  # type: ignore[misc]
    """What taskiq requires of a result backend: set, get, and whether there is a result."""

    async def startup(self) -> None:
        self._context = get_session().create_client("dynamodb")
        self._client = await self._context.__aenter__()

    async def shutdown(self) -> None:
        await self._context.__aexit__(None, None, None)

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        item = {"message_id": {"S": task_id}, "result": {"S": result.model_dump_json()}}
        expiry = {"expires_at": {"N": str(int(time.time() + TTL_SECONDS))}}
        await self._client.put_item(TableName=TABLE, Item=item | expiry)

    async def find(self, task_id: str) -> TaskiqResult[Any] | None:
        answer = await self._client.get_item(TableName=TABLE, Key={"message_id": {"S": task_id}})
        return TaskiqResult.model_validate_json(answer["Item"]["result"]["S"]) if "Item" in answer else None

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        found = await self.find(task_id)
        if found is None:
            raise KeyError(task_id)
        return found

    async def is_result_ready(self, task_id: str) -> bool:
        return await self.find(task_id) is not None


results = DynamoDBResults()
broker = SQSBroker(
    "taskiq-bench",
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    wait_time_seconds=20,
    max_number_of_messages=10,
    enable_batching=os.environ.get("BENCH_BATCHES") == "1",
    # The smallest allowed value: how long an incomplete batch waits.
    batch_timeout=0.1,
).with_result_backend(results)


async def echo(body: Any) -> Any:
    """The job."""
    return body


task = broker.task(task_name="echo")(echo)


@asynccontextmanager
async def taskiq() -> AsyncIterator[Handlers]:
    """The producer."""
    await broker.startup()
    limit = asyncio.Semaphore(CONCURRENCY)

    async def result(posted: Any) -> Any:
        deadline = time.monotonic() + RESULT_WAIT_SECONDS
        async with limit:
            while time.monotonic() < deadline:
                # One read per look; taskiq's own wait_result makes two for the last look.
                found = await results.find(posted.task_id)
                if found is not None:
                    return found.return_value
                await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(f"no result within {RESULT_WAIT_SECONDS} s")

    async def send(number: int) -> Any:
        async with limit:
            return await task.kiq(number)

    async def bulk(jobs: int) -> dict[str, float]:
        watch = Stopwatch()
        posted = await asyncio.gather(*(send(number) for number in range(jobs)))
        watch.mark("submitted")
        if await asyncio.gather(*(result(one) for one in posted)) != list(range(jobs)):
            raise RuntimeError("a job has another's result")
        watch.mark("collected")
        return watch.moments

    async def post() -> dict[str, float]:
        watch = Stopwatch()
        await result(await task.kiq(0))
        watch.mark("collected")
        return watch.moments

    yield {"bulk": bulk, "post": post}
    await broker.shutdown()


if __name__ == "__main__":
    serve(taskiq())
