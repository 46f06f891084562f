"""One consumer process of these benchmarks: `python -m benchmarks.routing.worker --triton HOST:PORT --slots 2 …`.

It runs what `inference-engine consume` runs, with two more choices: models that only sleep, and random dispatch
(one queue for all labels, models loaded on demand).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

from benchmarks.routing.journal import JournalBackend
from benchmarks.routing.on_demand import OnDemandBackend
from inference_engine import logs
from inference_engine.backends.base import Backend
from inference_engine.backends.function import FunctionBackend
from inference_engine.consumer import AsyncConsumer


def on_triton(url: str) -> Backend:
    """The models of a Triton server."""
    # Half a second of imports, which fleets without Triton skip.
    from inference_engine.backends.triton import TritonBackend

    return TritonBackend(url)


def slept_for(load_seconds: float, unload_seconds: float, job_seconds: float) -> Backend:
    """Models that take only time, for fleets that one machine could not hold."""

    async def load(label: str) -> None:
        await asyncio.sleep(load_seconds)

    async def unload(label: str) -> None:
        await asyncio.sleep(unload_seconds)

    async def compute(body: Any, message_id: str) -> Any:
        await asyncio.sleep(job_seconds)
        return body

    return FunctionBackend(compute, load=load, unload=unload)


async def consume(arguments: argparse.Namespace) -> None:
    """Take jobs until SIGTERM."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    backend = on_triton(arguments.triton) if arguments.triton else slept_for(*arguments.sleep)
    if arguments.journal:
        backend = JournalBackend(backend, arguments.journal, arguments.consumer_id)
    on_demand = OnDemandBackend(backend, arguments.slots) if arguments.queue_name else None
    consumer = AsyncConsumer(
        backend=on_demand or backend,
        queue_name=arguments.queue_name,
        max_labels=arguments.slots,
        http_port=arguments.http_port,
        consumer_id=arguments.consumer_id,
    )
    if on_demand is not None:
        # So that misses are counted and read as with label routing.
        on_demand.on_load = consumer.metrics.loaded
    async with consumer:
        await asked.wait()


def main() -> None:
    """Read the command line and consume."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing.worker", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--triton", metavar="HOST:PORT")
    what.add_argument("--sleep", nargs=3, type=float, metavar=("LOAD_SECONDS", "UNLOAD_SECONDS", "JOB_SECONDS"))
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--queue-name", help="random dispatch: the one queue")
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--consumer-id", required=True)
    parser.add_argument("--journal", type=Path, help="write down loads, unloads and jobs there")
    parser.add_argument("--log-level", default="WARNING")
    arguments = parser.parse_args()
    logs.configure("text", arguments.log_level)
    asyncio.run(consume(arguments))


if __name__ == "__main__":
    main()
