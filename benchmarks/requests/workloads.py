"""The workloads whose requests are counted: in bulk, at a steady rate, one at a time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from inference_engine.aws.schema import placement_queue_attributes
from inference_engine.aws.transport import ThreadTransport
from inference_engine.errors import LocalStackError
from inference_engine.local.processes import ChildProcess

from ..deployment import EmulatedDeployment, consumers
from ..peers import processes
from ..peers.processes import ContenderError, ProducerProcess
from ..report import Report
from ..throughput.peers import CELERY_THREADS, not_measured, provision
from ..throughput.progress import say
from .metered import Metered, Phase, metered, variables

LABELS = [f"label-{number}" for number in range(5)]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is counted: bulk jobs of the library and of the others, a steady rate, lone posts, idle time.

    `held` gives the numbers of labels that the idle consumers hold.
    """

    bulk: int
    others: int
    steady_seconds: float
    lone: int
    others_lone: int
    idle_seconds: float
    held: tuple[int, ...]
    per_second: float = 10.0
    pause_seconds: float = 0.3


FULL = Size(bulk=2_000, others=400, steady_seconds=30.0, lone=50, others_lone=10, idle_seconds=60.0, held=(0, 2, 4))
QUICK = Size(bulk=500, others=50, steady_seconds=2.0, lone=5, others_lone=1, idle_seconds=5.0, held=(2,))


def ours(deployed: EmulatedDeployment, size: Size) -> dict[str, Phase]:
    """The library: bulk, steady, lone."""

    @contextmanager
    def consume(behind: EmulatedDeployment) -> Iterator[ChildProcess]:
        with consumers(behind, 1, "--function", "benchmarks.functions:echo", "--max-labels", "8") as [consumer]:
            yield consumer.process

    steady = round(size.steady_seconds * size.per_second)
    command = [sys.executable, "-m", "benchmarks.peers.engine"]
    with metered(deployed, consume, command) as engine:
        engine.process.do("bulk", jobs=10 * len(LABELS), labels=LABELS)
        engine.process.do("post", label=LABELS[0])
        engine.quiet()
        say(f"the library: {size.bulk:,} jobs in bulk, {steady} at a steady rate, {size.lone} alone")
        return {
            "bulk": engine.phase(size.bulk, lambda it: it.do("bulk", jobs=size.bulk, labels=LABELS)),
            "steady": engine.phase(
                steady, lambda it: it.do("steady", posts=steady, per_second=size.per_second, labels=LABELS)
            ),
            "lone": engine.phase(size.lone, lambda it: _lone(it, size.lone, size.pause_seconds, label=LABELS[0])),
        }


def single_queue(deployed: EmulatedDeployment, size: Size) -> dict[str, Phase]:
    """The single-queue engine's pattern: bulk, lone."""
    url = asyncio.run(_queue(deployed))
    command = [sys.executable, "-m", "benchmarks.peers.single_queue"]
    place = [url, deployed.settings.jobs_table]
    with metered(
        deployed,
        lambda behind: processes.consumer([*command, "consume", *place], variables(behind)),
        [*command, "produce", *place],
    ) as pattern:
        return _bulk_and_lone("the single-queue pattern", pattern, size)


def celery(deployed: EmulatedDeployment, size: Size, report: Report) -> dict[str, dict[str, Phase]]:
    """Celery on SQS, by the name of its setting; only a note where it does not install or run."""
    setting = CELERY_THREADS
    try:
        python = str(setting.peer.python(say))
        asyncio.run(provision())
        with metered(
            deployed,
            lambda behind: processes.consumer([python, *setting.consume], variables(behind) | setting.variables),
            [python, "-m", setting.produce],
        ) as running:
            found = _bulk_and_lone(setting.name, running, size)
    except (LocalStackError, ContenderError) as problem:
        report.notes.append(not_measured(setting.name, problem))
        return {}
    report.versions |= setting.peer.versions()
    return {setting.name: found}


def _bulk_and_lone(name: str, running: Metered, size: Size) -> dict[str, Phase]:
    say(f"{name}: {size.others} jobs in bulk, {size.others_lone} alone")
    running.process.do("bulk", jobs=10)
    running.quiet()
    return {
        "bulk": running.phase(size.others, lambda it: it.do("bulk", jobs=size.others)),
        "lone": running.phase(size.others_lone, lambda it: _lone(it, size.others_lone, size.pause_seconds)),
    }


def _lone(process: ProducerProcess, posts: int, pause_seconds: float, **arguments: Any) -> None:
    for _ in range(posts):
        process.do("post", **arguments)
        time.sleep(pause_seconds)


async def _queue(deployed: EmulatedDeployment) -> str:
    transport = ThreadTransport()
    attributes = placement_queue_attributes(deployed.settings)
    try:
        answer = await transport.call("sqs", "create_queue", QueueName="single-queue.fifo", Attributes=attributes)
        return str(answer["QueueUrl"])
    finally:
        await transport.close()
