"""The library itself, driven as its peers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from inference_engine import AsyncProducer, Producer, Response

from .driver import Handlers, Stopwatch, serve


@asynccontextmanager
async def engine() -> AsyncIterator[Handlers]:
    """Both producers: on asyncio, and for threads."""
    async with AsyncProducer() as producer:
        with Producer() as blocking:

            async def bulk(jobs: int, labels: list[str]) -> dict[str, float]:
                watch = Stopwatch()
                share = jobs // len(labels)
                posted = await asyncio.gather(*(producer.post_many(range(share), label) for label in labels))
                watch.note("submitted")
                _check(
                    [response async for response in producer.as_completed([one for some in posted for one in some])],
                    jobs,
                )
                watch.note("collected")
                return watch.moments

            async def steady(posts: int, per_second: float, labels: list[str]) -> dict[str, float]:
                watch = Stopwatch()
                results = []
                for number in range(posts):
                    await asyncio.sleep(max(0.0, number / per_second - watch.seconds))
                    results.append(asyncio.create_task(_post_and_wait(producer, number, labels[number % len(labels)])))
                watch.note("submitted")
                _check(await asyncio.gather(*results), posts)
                watch.note("collected")
                return watch.moments

            def bulk_of_threads(jobs: int, labels: list[str]) -> dict[str, float]:
                watch = Stopwatch()
                share = jobs // len(labels)
                with ThreadPoolExecutor(len(labels)) as threads:
                    posted = list(threads.map(lambda label: blocking.post_many(range(share), label), labels))
                watch.note("submitted")
                _check(blocking.as_completed([one for some in posted for one in some]), jobs)
                watch.note("collected")
                return watch.moments

            def post(label: str) -> dict[str, float]:
                watch = Stopwatch()
                _check([blocking.post(0, label)], 1)
                watch.note("collected")
                return watch.moments

            yield {"bulk": bulk, "steady": steady, "bulk_of_threads": bulk_of_threads, "post": post}


async def _post_and_wait(producer: AsyncProducer, number: int, label: str) -> Response:
    return await producer.wait(await producer.post_non_blocking(number, label))


def _check(responses: Iterable[Response], count: int) -> None:
    codes = [response.status_code for response in responses]
    if codes != [200] * count:
        raise RuntimeError(f"{count} results wanted, found {codes.count(200)} good ones of {len(codes)}")


if __name__ == "__main__":
    serve(engine())
