"""One case simulated: a fleet, its arrivals and deaths, and its measurements."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Iterable, Sequence

from inference_engine.aws.schema import label_queue_attributes
from inference_engine.fleet.view import LabelSettings
from inference_engine.labels import dead_letter_queue_name, queue_name

from ...bound import lru_misses
from .. import arrivals, clock, labels
from ..arrivals import Arrival
from .cases import Case, Outcome
from .fleet import SimulatedFleet
from .sampling import CpuSampler

#: A fleet comes up within this time, before the first job.
JOIN_SECONDS = 10.0
#: How long a caller waits; a job that ends later counts as lost.
TIMEOUT_SECONDS = 1200.0
#: Digits in a label: the same labels in fleets of all sizes.
LABEL_DIGITS = 6

#: Objects between two garbage collections: this process holds the objects of a whole fleet, which no real consumer does.
_GARBAGE_THRESHOLDS = (20_000, 20, 50)


def simulate(case: Case) -> Outcome:
    """Run a case. With PYTHONHASHSEED set, the same case gives the same outcome, except for processor times."""
    disabled, thresholds = logging.root.manager.disable, gc.get_threshold()
    logging.disable(logging.ERROR)
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    try:
        return clock.run(_simulate(case), seed=case.seed)
    finally:
        # Restore the settings for the rest of this process.
        logging.disable(disabled)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _simulate(case: Case) -> Outcome:
    fleet = SimulatedFleet(consumers=case.consumers, slots=case.slots, durations=case.durations)
    await fleet.provision()
    names = labels.names(case.labels + case.silent, prefix="model", digits=LABEL_DIGITS)
    await _remember(fleet, names[case.labels :])
    await fleet.join_within(range(case.consumers), JOIN_SECONDS)
    jobs = _arrivals(case, names[: case.labels])
    # During the measurement, the garbage collector must not walk through what existed before.
    gc.collect()
    gc.freeze()
    before = fleet.consumer_calls.copy(), fleet.producer_calls.copy()
    started, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    with CpuSampler() as sampler:
        deaths = asyncio.create_task(_deaths(fleet, case))
        waits = await _post_all(fleet, jobs)
        virtual, wall, cpu = time.time() - started, time.perf_counter() - wall, time.process_time() - cpu
        await deaths
    fleet.kill_all()
    return Outcome(
        case=case,
        posts=len(jobs),
        results=len(waits),
        distinct=len({arrival.label for arrival in jobs}),
        misses=len(fleet.loads),
        bound=lru_misses((arrival.label for arrival in jobs), case.consumers * case.slots),
        waits=tuple(sorted(waits)),
        virtual_seconds=virtual,
        wall_seconds=wall,
        cpu_seconds=cpu,
        deciding_seconds=sampler.seconds("deciding"),
        consumer_calls=fleet.consumer_calls - before[0],
        producer_calls=fleet.producer_calls - before[1],
    )


def _arrivals(case: Case, names: Sequence[str]) -> list[Arrival]:
    return arrivals.steady(
        labels.zipf(names, case.exponent),
        per_second=case.jobs_per_consumer_second * case.consumers,
        seconds=case.seconds,
        seed=case.seed,
    )


async def _post_all(fleet: SimulatedFleet, jobs: Sequence[Arrival]) -> list[float]:
    """Post each job at its time and wait for all results; return the waits of the successful jobs."""
    started = time.time()
    callers: list[asyncio.Task[float | None]] = []
    for number, arrival in enumerate(jobs):
        await asyncio.sleep(started + arrival.at - time.time())
        callers.append(asyncio.create_task(_call(fleet, number, arrival.label)))
    waits = await asyncio.gather(*callers)
    return [wait for wait in waits if wait is not None]


async def _call(fleet: SimulatedFleet, number: int, label: str) -> float | None:
    started = time.time()
    producer = fleet.producers[number % len(fleet.producers)]
    response = await producer.post(number, label, timeout_seconds=TIMEOUT_SECONDS)
    return time.time() - started if response.ok and response.result == number else None


async def _deaths(fleet: SimulatedFleet, case: Case) -> None:
    """Kill consumers without warning, and start new ones to replace them."""
    chance = random.Random(case.seed)
    newcomers: list[asyncio.Task[None]] = []
    for death in range(case.deaths):
        await asyncio.sleep(case.seconds / (case.deaths + 1))
        number = chance.choice(fleet.alive)
        fleet.kill(number)
        # Its number differs by a multiple of the number of cells, so it joins the same cell.
        successor = number % fleet.cells + fleet.cells * (case.consumers + death)
        newcomers.append(asyncio.create_task(_join_later(fleet, successor, case.replaced_seconds)))
    await asyncio.gather(*newcomers)


async def _join_later(fleet: SimulatedFleet, number: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await fleet.join(number)


async def _remember(fleet: SimulatedFleet, used: Iterable[str]) -> None:
    """Create what used labels leave behind: settings, an empty queue, a job record."""
    settings = fleet.settings()
    aws, _ = fleet.account.connect(settings)
    dead_letters = await aws.queues.named(dead_letter_queue_name(settings.prefix))
    arn = fleet.account.queues.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])
    attributes = label_queue_attributes(settings, arn["Attributes"]["QueueArn"])
    for label in used:
        fleet.account.queues.create_queue(QueueName=queue_name(settings.prefix, label), Attributes=attributes)
        record = {"message_id": {"S": f"old-{label}"}, "label": {"S": label}, "status": {"S": "SUCCESS"}}
        fleet.account.tables.put_item(TableName=settings.jobs_table, Item=record)
        row = {"row": {"S": LabelSettings(label=label).model_dump_json()}}
        item = {"pk": {"S": "labels"}, "sk": {"S": label}, **row}
        fleet.account.tables.put_item(TableName=settings.registry_table, Item=item)
