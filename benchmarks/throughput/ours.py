"""The library and the floor, in turns on one emulator, so that noise affects both alike."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from inference_engine.aws.schema import placement_queue_attributes
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import LabelSettings

from ..deployment import EmulatedDeployment, consumers, cpu_seconds, deployment
from ..peers import processes
from .measure import LABELS, Contender, Result, Size
from .progress import say

#: Message groups of a label that several consumers may serve; compared with a message group per job.
LANES = 8
#: Pollers of each queue, and concurrent requests to the table; found by trial. SQS gives the messages of a group to one
#: poller at a time.
POLLERS = {"label": 1, "job": 4}
WRITERS = {"label": 1, "job": 2}

OURS = "inference-engine"
OURS_THREADS = "inference-engine, Producer and threads"
OURS_LANES = f"inference-engine, {LANES} lanes"
FLOOR = "by hand, a group per label"
FLOOR_UNORDERED = "by hand, a group per job"

_ORDERED = [f"ordered-{number}" for number in range(LABELS)]
_LANES = [f"lanes-{number}" for number in range(LABELS)]


def side_by_side(size: Size, *, count: bool) -> dict[str, Result]:
    """The results, by contender. With `count`, a further run counts requests, because counting slows a run down."""
    with deployment() as deployed, sides(deployed) as contenders:
        results = {contender.name: Result(contender.name) for contender in contenders}
        for contender in contenders:
            contender.warm()
        for turn in range(size.runs):
            say(f"the library and the floor: turn {turn + 1} of {size.runs}")
            for contender in contenders:
                results[contender.name].runs.append(contender.run(size.jobs))
        say(f"{size.posts} blocking posts each")
        blocking = [contender for contender in contenders if contender.name in (OURS_THREADS, FLOOR)]
        for _ in range(size.posts):
            for contender in blocking:
                results[contender.name].posts.append(contender.post())
    if count:
        say("requests of the library and the floor")
        _count(results, size)
    return results


def _count(results: dict[str, Result], size: Size) -> None:
    with deployment(counted=True) as deployed, sides(deployed) as contenders:
        assert deployed.proxy is not None
        for contender in contenders:
            contender.warm()
            results[contender.name].requests = contender.requests(size.jobs // 2, deployed.proxy.calls)


@contextmanager
def sides(deployed: EmulatedDeployment) -> Iterator[list[Contender]]:
    """The engine with a consumer for all labels, and the floor with a consumer for each of its variants."""
    asyncio.run(_set_lanes(deployed))
    with ExitStack() as stack:
        arguments = ("--function", "benchmarks.functions:echo", "--max-labels", str(2 * LABELS))
        [consumer] = stack.enter_context(consumers(deployed, 1, *arguments))
        command = [sys.executable, "-m", "benchmarks.peers.engine"]
        environment = processes.module_environment({**os.environ, **deployed.environment()})
        engine = stack.enter_context(processes.producer(command, environment, consumer.process))

        def ours(name: str, command: str, labels: list[str]) -> Contender:
            blocking = {"label": labels[0]}
            return Contender(name, engine, lambda: consumer.cpu_seconds, command, {"labels": labels}, blocking)

        yield [
            ours(OURS, "bulk", _ORDERED),
            stack.enter_context(floor(deployed, "label", FLOOR)),
            ours(OURS_THREADS, "bulk_of_threads", _ORDERED),
            ours(OURS_LANES, "bulk", _LANES),
            stack.enter_context(floor(deployed, "job", FLOOR_UNORDERED)),
        ]


async def _set_lanes(deployed: EmulatedDeployment) -> None:
    aws = Deployment.for_producer(deployed.settings, threads=True)
    try:
        for label in _LANES:
            await aws.registry.set_label(LabelSettings(label=label, lanes=LANES))
    finally:
        await aws.close()


@contextmanager
def floor(deployed: EmulatedDeployment, group: str, name: str) -> Iterator[Contender]:
    """The hand-written script: a message group per `label` or per `job`."""
    urls = asyncio.run(_floor_queues(deployed, group))
    common = ["--table", deployed.settings.jobs_table, "--writers", str(WRITERS[group])]
    common += [part for url in urls for part in ("--queue-url", url)]
    consume = [*("-m", "benchmarks.peers.floor", "consume"), *common, "--pollers", str(POLLERS[group])]
    produce = ["-m", "benchmarks.peers.floor", "produce", *common, *(["--group-per-job"] if group == "job" else [])]
    environment = processes.module_environment({**os.environ, **deployed.environment()})
    with (
        processes.consumer([sys.executable, *consume], environment) as consumer,
        processes.producer([sys.executable, *produce], environment, consumer) as producer,
    ):
        pid = consumer.pid
        assert pid is not None
        yield Contender(name, producer, lambda: cpu_seconds(pid))


async def _floor_queues(deployed: EmulatedDeployment, group: str) -> list[str]:
    aws = Deployment.for_producer(deployed.settings, threads=True)
    attributes = placement_queue_attributes(deployed.settings)
    try:
        answers = [
            await aws.transport.call(
                "sqs", "create_queue", QueueName=f"floor-{group}-{number}.fifo", Attributes=attributes
            )
            for number in range(LABELS)
        ]
        return [str(answer["QueueUrl"]) for answer in answers]
    finally:
        await aws.close()
