"""Runs one case in one mode: a deployment, a fleet, producers that replay the trace, and the outcome."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from benchmarks.bound import lru_misses
from benchmarks.deployment import ConsumerProcess, EmulatedDeployment, deployment
from inference_engine import Producer
from inference_engine.aws import schema
from inference_engine.errors import UnknownMessageError
from inference_engine.labels import dead_letter_queue_name
from inference_engine.model_authoring.tiny_models import TINY_SIZE, tiny_expected, write_tiny_models

from ..simulation.traces import labels_of
from .cases import Case, settings
from .outcomes import Mode, Replayed
from .player import Played, Post, play
from .workers import FleetPlan, Slept, workers

#: Receives a line about the progress.
Told = Callable[[str], object]
#: The single queue of random dispatch.
QUEUE_NAME = "bench-all-labels.fifo"
#: Requests between two reports of progress.
TELL_EVERY = 50


def measure(
    case: Case,
    mode: Mode,
    *,
    requests: int,
    factor: float,
    models: Slept | None = None,
    journal: Path | None = None,
    told: Told = print,
) -> Replayed:
    """Replay the case's trace with waits divided by `factor`; `models` None means real models on Triton.

    Where time is compressed, label routing keeps the order of events, because it depends on it. Random dispatch does not
    depend on it: its consumers see a different order anyway.
    """
    trace = case.draw(requests)
    with ExitStack() as stack:
        deployed = stack.enter_context(deployment(**settings(factor), max_in_flight=1))
        queue_name = _single_queue(deployed) if mode == "random" else None
        plan = FleetPlan(case.consumers, case.slots, models or _repository(case, stack), queue_name, journal)
        fleet = stack.enter_context(workers(deployed, plan))
        producers = range(1 + max(event.producer for event in trace))
        posts = [stack.enter_context(_posting(queue_name, slept=models is not None)) for _ in producers]
        started = time.monotonic()

        def tell(ended: int) -> None:
            if ended % TELL_EVERY == 0 or ended == len(trace):
                misses = sum(one.misses for one in fleet)
                told(f"{case.name}, {mode}: {ended} of {len(trace)} requests, {misses} misses")

        played = play(trace, posts, factor=factor, ordered=factor != 1 and mode == "label", told=tell)
        return _outcome(case, mode, factor, played, fleet, time.monotonic() - started)


def _outcome(
    case: Case, mode: Mode, factor: float, played: Sequence[Played], fleet: Sequence[ConsumerProcess], seconds: float
) -> Replayed:
    durations = [one.seconds for one in played]
    cuts = statistics.quantiles(durations, n=100, method="inclusive")
    stats = [one.stats()["labels"].values() for one in fleet]
    misses = [sum(int(counts["misses"]) for counts in labels) for labels in stats]
    return Replayed(
        case=case.name,
        mode=mode,
        factor=factor,
        requests=len(played),
        misses=sum(misses),
        bound=lru_misses(labels_of([one.event for one in played]), case.consumers * case.slots),
        mean_seconds=statistics.fmean(durations),
        p50_seconds=cuts[49],
        p99_seconds=cuts[98],
        seconds=seconds,
        jobs_by_consumer=[sum(int(counts["jobs"]) for counts in labels) for labels in stats],
        misses_by_consumer=misses,
    )


def _repository(case: Case, stack: ExitStack) -> Path:
    """A Triton repository with a small real model for each of the case's labels."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    write_tiny_models(folder, case.labels)
    return folder


def _single_queue(deployed: EmulatedDeployment) -> str:
    """Make the queue of random dispatch, with the attributes of a label's queue."""
    sqs = boto3.client("sqs")
    dead = sqs.get_queue_url(QueueName=dead_letter_queue_name(deployed.settings.prefix))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.create_queue(QueueName=QUEUE_NAME, Attributes=schema.label_queue_attributes(deployed.settings, arn))
    return QUEUE_NAME


@contextmanager
def _posting(queue_name: str | None, *, slept: bool) -> Iterator[Post]:
    """A separate producer, like each of the published ones, already connected so that its first post is like the others."""
    with Producer(queue_name=queue_name) as producer:
        with suppress(UnknownMessageError):
            producer.retrieve_result_status("none")

        def post(label: str) -> None:
            body, expected = (label, label) if slept else _numbers(label)
            job = ({"label": label, "body": body},) if queue_name else (body, label)
            response = producer.post(*job)
            result = response.result if slept or not response.ok else response.result["Y"]
            if not np.array_equal(result, expected):
                raise RuntimeError(f"wrong result of {label}: {response}")

        yield post


def _numbers(label: str) -> tuple[Any, Any]:
    """A body for a small model, and the result that only this label's model returns for it."""
    x = np.arange(TINY_SIZE, dtype=np.float32)[np.newaxis]
    return {"X": x}, tiny_expected(label, x)
