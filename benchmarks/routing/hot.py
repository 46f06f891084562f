"""A hot label: how many jobs per second the fleet computes for one label, by its number of lanes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import boto3

from benchmarks.deployment import ConsumerProcess, EmulatedDeployment, deployment
from inference_engine import Producer
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import LabelSettings
from inference_engine.labels import queue_name

from .outcomes import Hot
from .replay import Told
from .workers import FleetPlan, Slept, workers

#: A job takes this long and occupies its consumer alone, as a job on a device does.
JOB_SECONDS = 0.1
MODELS = Slept(load_seconds=0.03, unload_seconds=0.11, job_seconds=JOB_SECONDS)
#: A fleet adds one holder of a label every five seconds (`rebalancing.SCALE_OUT_SECONDS`); a busy machine takes longer.
HOLDER_WAIT_SECONDS = 15.0
#: Throughput is measured over a window, after the newest holder has had time to take its lanes.
SETTLE_SECONDS, WINDOW_SECONDS = 2.0, 5.0


def measure(lanes: Sequence[int], *, consumers: int, told: Told = print) -> list[Hot]:
    """Measure one label per number of lanes, one after the other, on the same fleet."""
    with deployment(wait_time_seconds=2, max_in_flight=1) as deployed:
        plan = FleetPlan(consumers, len(lanes), MODELS)
        with workers(deployed, plan) as fleet, Producer() as producer:
            return [_measure_one(deployed, producer, fleet, count, told) for count in lanes]


def _measure_one(
    deployed: EmulatedDeployment, producer: Producer, fleet: Sequence[ConsumerProcess], lanes: int, told: Told
) -> Hot:
    label, holders = f"hot-{lanes}", min(lanes, len(fleet))
    asyncio.run(_set_lanes(deployed, label, lanes))
    producer.post_many([0] * _jobs(holders), label)
    told(f"hot label, {lanes} lanes: waiting for {holders} holders")
    deadline = time.monotonic() + holders * HOLDER_WAIT_SECONDS
    while _at_work(fleet, label) < holders and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(SETTLE_SECONDS)
    started, before = time.monotonic(), _total(fleet, label, "jobs")
    time.sleep(WINDOW_SECONDS)
    rate = (_total(fleet, label, "jobs") - before) / (time.monotonic() - started)
    outcome = Hot(lanes, _at_work(fleet, label), _total(fleet, label, "misses"), rate)
    told(f"hot label, {lanes} lanes: {outcome.jobs_per_second:.0f} jobs/s by {outcome.holders} consumers")
    _purge(deployed, label)
    return outcome


def _jobs(holders: int) -> int:
    """Enough jobs to keep the fleet busy while it grows to `holders` and is measured, with enough left to need all of them."""
    per_holder = 1 / JOB_SECONDS
    growing = sum(range(holders)) * per_holder * 6
    measured = holders * per_holder * (SETTLE_SECONDS + WINDOW_SECONDS)
    return round(growing + measured + holders * per_holder * 11)


async def _set_lanes(deployed: EmulatedDeployment, label: str, lanes: int) -> None:
    aws = Deployment.for_producer(deployed.settings, threads=True)
    try:
        await aws.registry.set_label(LabelSettings(label=label, lanes=lanes))
    finally:
        await aws.close()


def _purge(deployed: EmulatedDeployment, label: str) -> None:
    """Drop the jobs that are left: they would keep the fleet from the next label."""
    sqs = boto3.client("sqs")
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=queue_name(deployed.settings.prefix, label))["QueueUrl"])


def _at_work(fleet: Sequence[ConsumerProcess], label: str) -> int:
    return sum(_count(one, label, "jobs") > 0 for one in fleet)


def _total(fleet: Sequence[ConsumerProcess], label: str, what: str) -> int:
    return sum(_count(one, label, what) for one in fleet)


def _count(consumer: ConsumerProcess, label: str, what: str) -> int:
    return int(consumer.stats()["labels"].get(label, {}).get(what, 0))
