"""Celery on SQS with its DynamoDB result backend."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

from .driver import Handlers, Stopwatch, serve

#: Poll interval of the wait for one result; Celery's default is 0.5 s.
POLL_SECONDS = 0.02
RESULT_WAIT_SECONDS = 60

_ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])

app = Celery(
    "bench",
    broker=f"sqs://test:test@{_ENDPOINT.netloc}",
    backend=f"dynamodb://@{os.environ['AWS_REGION']}/celery-results",
    broker_transport_options={"region": os.environ["AWS_REGION"], "wait_time_seconds": 20, "polling_interval": 0},
    task_default_queue="celery-bench",
    # Ten per receive: by default a worker with one process takes four.
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "40")),
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)


def echo(body: Any) -> Any:
    """The job."""
    return body


task = app.task(echo, name="echo")


@asynccontextmanager
async def celery() -> AsyncIterator[Handlers]:
    """The producer."""

    def bulk(jobs: int) -> dict[str, float]:
        watch = Stopwatch()
        results = [task.delay(number) for number in range(jobs)]
        watch.mark("submitted")
        for number, result in enumerate(results):
            if result.get(timeout=RESULT_WAIT_SECONDS, interval=POLL_SECONDS) != number:
                raise RuntimeError(f"job {number} has another's result")
        watch.mark("collected")
        return watch.moments

    def post() -> dict[str, float]:
        watch = Stopwatch()
        task.delay(0).get(timeout=RESULT_WAIT_SECONDS, interval=POLL_SECONDS)
        watch.mark("collected")
        return watch.moments

    yield {"bulk": bulk, "post": post}


if __name__ == "__main__":
    serve(celery())
