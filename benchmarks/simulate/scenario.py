"""One simulated run: a fleet, its arrivals and deaths, and its measurements."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from inference_engine.aws.schema import label_queue_attributes
from inference_engine.fleet.view import LabelSettings
from inference_engine.labels import dead_letter_queue_name, queue_name

from ..bound import lru_misses
from . import clock
from .arrivals import Arrival, label_name, zipf_arrivals
from .backend import Durations
from .fleet import Calls, SimulatedFleet
from .sampling import CpuSampler

#: A fleet comes up within this time, before the first job.
JOIN_SECONDS = 10.0
#: How long a caller waits; a job that ends later counts as lost.
TIMEOUT_SECONDS = 1200.0

#: Objects between two garbage collections: this process holds the objects of a whole fleet, which no real consumer does.
_GARBAGE_THRESHOLDS = (20_000, 20, 50)

_READS = ("query", "get_item")
_WRITES = ("put_item", "delete_item", "update_item")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. `deaths` consumers are killed evenly over the time, each replaced after `replaced_seconds`.

    `silent` further labels are known and were used before, but nobody asks for them.
    """

    name: str
    consumers: int
    labels: int
    seconds: float
    slots: int = 3
    exponent: float = 1.2
    jobs_per_consumer_second: float = 0.5
    deaths: int = 0
    replaced_seconds: float = 20.0
    silent: int = 0
    seed: int = 1
    durations: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a scenario. Waits (from post to result) and `virtual_seconds` are on the virtual clock.

    Requests are counted from the first post to the last result. Processor times are those of this process.
    """

    scenario: Scenario
    posts: int
    results: int
    distinct: int
    misses: int
    bound: int
    waits: tuple[float, ...]
    virtual_seconds: float
    wall_seconds: float
    cpu_seconds: float
    deciding_seconds: float
    consumer_calls: Calls
    producer_calls: Calls

    def wait(self, share: float) -> float:
        """The wait that `share` of the jobs did not exceed, in seconds."""
        return self.waits[min(int(len(self.waits) * share), len(self.waits) - 1)]

    @property
    def lost(self) -> int:
        """Jobs without their correct result."""
        return self.posts - self.results

    @property
    def requests(self) -> int:
        """All requests to AWS."""
        return self.consumer_calls.total() + self.producer_calls.total()

    @property
    def misses_to_bound(self) -> float:
        """Loads of the fleet per load of the bound."""
        return self.misses / self.bound

    @property
    def registry_reads(self) -> int:
        """Reads of the registry by consumers and producers."""
        return _count(self.consumer_calls + self.producer_calls, "registry", _READS)

    @property
    def registry_writes(self) -> int:
        """Writes to the registry, which only consumers do."""
        return _count(self.consumer_calls + self.producer_calls, "registry", _WRITES)

    @property
    def placement_requests(self) -> int:
        """Requests to placement queues by consumers and producers."""
        return _count(self.consumer_calls + self.producer_calls, "placement")

    @property
    def deciding_requests(self) -> int:
        """All requests to the registry and to placement queues."""
        return self.registry_reads + self.registry_writes + self.placement_requests


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario. With PYTHONHASHSEED set, the same scenario gives the same outcome, except for processor times."""
    disabled, thresholds = logging.root.manager.disable, gc.get_threshold()
    logging.disable(logging.ERROR)
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    try:
        return clock.run(_simulate(scenario), seed=scenario.seed)
    finally:
        # Restore the settings for the rest of this process.
        logging.disable(disabled)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _simulate(scenario: Scenario) -> Outcome:
    fleet = SimulatedFleet(consumers=scenario.consumers, slots=scenario.slots, durations=scenario.durations)
    await fleet.provision()
    await _remember(fleet, (label_name(scenario.labels + index) for index in range(scenario.silent)))
    await fleet.join_within(range(scenario.consumers), JOIN_SECONDS)
    arrivals = _arrivals(scenario)
    # During the measurement, the garbage collector must not walk through what existed before.
    gc.collect()
    gc.freeze()
    before = fleet.consumer_calls.copy(), fleet.producer_calls.copy()
    started, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    with CpuSampler() as sampler:
        deaths = asyncio.create_task(_deaths(fleet, scenario))
        waits = await _post_all(fleet, arrivals)
        virtual, wall, cpu = time.time() - started, time.perf_counter() - wall, time.process_time() - cpu
        await deaths
    fleet.kill_all()
    return Outcome(
        scenario=scenario,
        posts=len(arrivals),
        results=len(waits),
        distinct=len({arrival.label for arrival in arrivals}),
        misses=len(fleet.loads),
        bound=lru_misses((arrival.label for arrival in arrivals), scenario.consumers * scenario.slots),
        waits=tuple(sorted(waits)),
        virtual_seconds=virtual,
        wall_seconds=wall,
        cpu_seconds=cpu,
        deciding_seconds=sampler.seconds("deciding"),
        consumer_calls=fleet.consumer_calls - before[0],
        producer_calls=fleet.producer_calls - before[1],
    )


def _arrivals(scenario: Scenario) -> list[Arrival]:
    return zipf_arrivals(
        labels=scenario.labels,
        exponent=scenario.exponent,
        per_second=scenario.jobs_per_consumer_second * scenario.consumers,
        seconds=scenario.seconds,
        seed=scenario.seed,
    )


async def _post_all(fleet: SimulatedFleet, arrivals: list[Arrival]) -> list[float]:
    """Post each job at its time and wait for all results; return the waits of the successful jobs."""
    started = time.time()
    callers: list[asyncio.Task[float | None]] = []
    for number, arrival in enumerate(arrivals):
        await asyncio.sleep(started + arrival.at - time.time())
        callers.append(asyncio.create_task(_call(fleet, number, arrival.label)))
    waits = await asyncio.gather(*callers)
    return [wait for wait in waits if wait is not None]


async def _call(fleet: SimulatedFleet, number: int, label: str) -> float | None:
    started = time.time()
    producer = fleet.producers[number % len(fleet.producers)]
    response = await producer.post(number, label, timeout_seconds=TIMEOUT_SECONDS)
    return time.time() - started if response.ok and response.result == number else None


async def _deaths(fleet: SimulatedFleet, scenario: Scenario) -> None:
    """Kill consumers without warning, and start new ones to replace them."""
    chance = random.Random(scenario.seed)
    newcomers: list[asyncio.Task[None]] = []
    for death in range(scenario.deaths):
        await asyncio.sleep(scenario.seconds / (scenario.deaths + 1))
        number = chance.choice(fleet.alive)
        fleet.kill(number)
        # Its number differs by a multiple of the number of cells, so it joins the same cell.
        successor = number % fleet.cells + fleet.cells * (scenario.consumers + death)
        newcomers.append(asyncio.create_task(_join_later(fleet, successor, scenario.replaced_seconds)))
    await asyncio.gather(*newcomers)


async def _join_later(fleet: SimulatedFleet, number: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await fleet.join(number)


async def _remember(fleet: SimulatedFleet, labels: Iterable[str]) -> None:
    """Create what used labels leave behind: settings, an empty queue, a job record."""
    settings = fleet.settings()
    aws, _ = fleet.account.connect(settings)
    dead_letters = await aws.queues.named(dead_letter_queue_name(settings.prefix))
    arn = fleet.account.queues.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])
    attributes = label_queue_attributes(settings, arn["Attributes"]["QueueArn"])
    for label in labels:
        fleet.account.queues.create_queue(QueueName=queue_name(settings.prefix, label), Attributes=attributes)
        record = {"message_id": {"S": f"old-{label}"}, "label": {"S": label}, "status": {"S": "SUCCESS"}}
        fleet.account.tables.put_item(TableName=settings.jobs_table, Item=record)
        row = {"row": {"S": LabelSettings(label=label).model_dump_json()}}
        item = {"pk": {"S": "labels"}, "sk": {"S": label}, **row}
        fleet.account.tables.put_item(TableName=settings.registry_table, Item=item)


def _count(calls: Calls, subject: str, operations: tuple[str, ...] = ()) -> int:
    return sum(
        count
        for (operation, about), count in calls.items()
        if about == subject and (not operations or operation in operations)
    )
