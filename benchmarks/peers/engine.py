"""The library itself, driven like its peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from inference_engine import AsyncProducer, Producer, Response

from .driver import Handlers, Stopwatch, serve


class Engine:
    """Both producers, for asyncio and for threads. Jobs are spread evenly over the labels."""

    def __init__(self, producer: AsyncProducer, blocking: Producer) -> None:
        self._producer = producer
        self._blocking = blocking

    async def bulk(self, jobs: int, labels: list[str]) -> dict[str, float]:
        """Post all, then collect all."""
        watch = Stopwatch()
        bodies = range(jobs // len(labels))
        posted = await asyncio.gather(*(self._producer.post_many(bodies, label) for label in labels))
        watch.mark("submitted")
        ids = [message_id for some in posted for message_id in some]
        _check([response async for response in self._producer.as_completed(ids)], jobs)
        watch.mark("collected")
        return watch.moments

    def bulk_of_threads(self, jobs: int, labels: list[str]) -> dict[str, float]:
        """The same with one thread per label."""
        watch = Stopwatch()
        bodies = range(jobs // len(labels))
        with ThreadPoolExecutor(len(labels)) as threads:
            posted = list(threads.map(lambda label: self._blocking.post_many(bodies, label), labels))
        watch.mark("submitted")
        _check(self._blocking.as_completed([message_id for some in posted for message_id in some]), jobs)
        watch.mark("collected")
        return watch.moments

    async def steady(self, posts: int, per_second: float, labels: list[str]) -> dict[str, float]:
        """Post at a rate, and wait for each result."""
        watch = Stopwatch()
        results = []
        for number in range(posts):
            await asyncio.sleep(max(0.0, number / per_second - watch.seconds))
            results.append(asyncio.create_task(self._post_and_wait(number, labels[number % len(labels)])))
        _check(await asyncio.gather(*results), posts)
        watch.mark("collected")
        return watch.moments

    def post(self, label: str) -> dict[str, float]:
        """Post one job and wait for its result, blocking."""
        watch = Stopwatch()
        _check([self._blocking.post(0, label)], 1)
        watch.mark("collected")
        return watch.moments

    async def _post_and_wait(self, number: int, label: str) -> Response:
        return await self._producer.wait(await self._producer.post_non_blocking(number, label))


def _check(responses: Iterable[Response], count: int) -> None:
    codes = [response.status_code for response in responses]
    if codes != [200] * count:
        raise RuntimeError(f"{count} results wanted, found {codes.count(200)} good ones of {len(codes)}")


@asynccontextmanager
async def engine() -> AsyncIterator[Handlers]:
    """The producers, connected."""
    async with AsyncProducer() as producer:
        with Producer() as blocking:
            both = Engine(producer, blocking)
            yield {
                "bulk": both.bulk,
                "bulk_of_threads": both.bulk_of_threads,
                "steady": both.steady,
                "post": both.post,
            }


if __name__ == "__main__":
    serve(engine())
