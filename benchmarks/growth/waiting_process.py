"""A process that waits for very many jobs and reports what that costs: `python -m benchmarks.growth.waiting_process COUNT`.

It prints a line of JSON when it has begun to wait, one after the number of seconds that it reads from standard input, and one
when it has given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence

from inference_engine.producer import AsyncProducer

from ..proc import resident_bytes
from .records import message_id

#: Long enough for the whole benchmark, which measures waiting.
TIMEOUT_SECONDS = 600.0
#: Pause between two checks, in seconds. A timer that fires late was delayed by something that ran on the loop.
TICK_SECONDS = 0.005


async def main(count: int) -> None:
    """Wait for `count` jobs of the deployment in the environment."""
    message_ids = [message_id(number) for number in range(count)]
    async with AsyncProducer() as producer:
        # It has posted before, as every producer has, so all its clients and connections exist.
        await producer.post_non_blocking(None, "label-0")
        # The last job has ended: when its response arrives, the producer is waiting for all the others.
        await producer.cancel(message_ids[-1])
        bytes_before, cpu_before, begun = resident_bytes(os.getpid()), time.process_time(), asyncio.Event()
        waiting = asyncio.create_task(_wait(producer, message_ids, begun))
        await asyncio.wait([asyncio.create_task(begun.wait()), waiting], return_when=asyncio.FIRST_COMPLETED)
        _tell(cpu_seconds=time.process_time() - cpu_before)
        seconds = float(await asyncio.to_thread(sys.stdin.readline))
        _tell(**await _observe(seconds), bytes=resident_bytes(os.getpid()) - bytes_before)
        ended = time.monotonic()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting  # raises its own error here
        _tell(cancel_seconds=time.monotonic() - ended)


async def _wait(producer: AsyncProducer, message_ids: Sequence[str], begun: asyncio.Event) -> None:
    async for response in producer.as_completed(message_ids, timeout_seconds=TIMEOUT_SECONDS):
        if response.message_id != message_ids[-1]:
            raise RuntimeError(f"nobody computes these jobs, and yet one ended: {response}")
        begun.set()


async def _observe(seconds: float) -> dict[str, float]:
    """Processor time, and the longest time for which nothing else could run on the loop."""
    cpu, started, stall = time.process_time(), time.monotonic(), 0.0
    while (now := time.monotonic()) < started + seconds:
        await asyncio.sleep(TICK_SECONDS)
        stall = max(stall, time.monotonic() - now - TICK_SECONDS)
    took = time.monotonic() - started
    return {"seconds": took, "cores": (time.process_time() - cpu) / took, "stall_seconds": stall}


def _tell(**numbers: float) -> None:
    print(json.dumps(numbers), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
