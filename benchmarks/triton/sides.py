"""The two ways to the same Triton server: tritonclient alone, and the whole engine."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from inference_engine import Producer

from .workloads import Body

#: A job that takes longer than this hangs.
TIMEOUT_SECONDS = 300.0
_DATATYPES = {"float32": "FP32", "object": "BYTES"}

Result = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Timed:
    """One round: how long it took, and the result of its first job."""

    seconds: float
    first: Result


def direct(url: str, label: str, bodies: list[Body], jobs: int, concurrency: int) -> Timed:
    """`jobs` requests by tritonclient's asyncio client, `concurrency` of them in flight at any time."""
    return asyncio.run(_direct(url, label, bodies, jobs, concurrency))


async def _direct(url: str, label: str, bodies: list[Body], jobs: int, concurrency: int) -> Timed:
    client = InferenceServerClient(url)
    results: dict[int, Result] = {}
    try:
        left = iter(enumerate(itertools.islice(itertools.cycle(bodies), jobs)))
        started = time.monotonic()
        await asyncio.gather(*(_worker(client, label, left, results) for _ in range(concurrency)))
        return Timed(time.monotonic() - started, results[0])
    finally:
        await client.close()


async def _worker(
    client: InferenceServerClient, label: str, left: Iterator[tuple[int, Body]], results: dict[int, Result]
) -> None:
    for number, body in left:
        answer = await client.infer(label, [_input(name, array) for name, array in body.items()])
        results[number] = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def _input(name: str, array: NDArray[Any]) -> InferInput:
    return InferInput(name, list(array.shape), _DATATYPES[array.dtype.name]).set_data_from_numpy(array)


def engine(producer: Producer, label: str, bodies: list[Body], jobs: int) -> Timed:
    """`jobs` jobs posted as one bulk, until the last result arrives. Raises RuntimeError if one of them failed."""
    started = time.monotonic()
    ids = producer.post_many(itertools.islice(itertools.cycle(bodies), jobs), label)
    responses = {one.message_id: one for one in producer.as_completed(ids, timeout_seconds=TIMEOUT_SECONDS)}
    seconds = time.monotonic() - started
    if failed := [response.error for response in responses.values() if not response.ok]:
        raise RuntimeError(f"{len(failed)} of {jobs} jobs of {label} failed, the first with {failed[0]}")
    return Timed(seconds, responses[ids[0]].result)


def check_same(label: str, left: Result, right: Result) -> None:
    """Raise RuntimeError unless both sides computed the same for the same body."""
    for name, array in left.items():
        if not np.allclose(array, right[name], atol=1e-5):
            raise RuntimeError(f"{label}: the engine's {name} is not what Triton gave to tritonclient")
