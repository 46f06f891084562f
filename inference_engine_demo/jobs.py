"""The main job on one machine: post by label, run where the model is loaded, collect by message id."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from inference_engine import Producer, Response
from inference_engine.local.stack import LocalStack

from .inputs import EMBEDDING_LABEL, describe, sample_inputs
from .models import DEMO_LABELS
from .report import DemoRun, Neighbour, Row, Ticker, live_progress

#: More than any machine needs for the default number of jobs, so that a demo that hangs ends.
TIMEOUT_SECONDS = 600.0
#: A result is readable a moment before the consumer has counted it.
COUNT_SECONDS = 5.0
NEAREST = 3
#: Results per label that are described in words.
EXAMPLES = 4
QUERY = "How do I get my money back?"
#: The sentences to compare with the query; the nearest share its meaning but not its words.
SENTENCES = (
    "You can request a refund within thirty days of purchase.",
    "Returned items are reimbursed to the original payment method.",
    "Our support team answers within one working day.",
    "The train to Hamburg leaves from platform seven.",
    "Add two cloves of garlic and simmer for ten minutes.",
    "Photosynthesis turns light into chemical energy.",
    "The orchestra rehearses every Thursday evening.",
    "A hash map finds a key in constant time on average.",
    "The glacier has lost half of its ice since 1980.",
    "She scored the winning goal in the last minute.",
    "Water the seedlings twice a day until they sprout.",
    "The contract may be terminated with three months' notice.",
)


def run(stack: LocalStack, *, jobs: int, query: str = QUERY) -> DemoRun:
    """Post `jobs` jobs over the demo's labels, as one bulk, and collect everything."""
    outcome = DemoRun(stack.backend, query)
    before = _computed(stack.stats())
    bodies = {label: _bodies(label, count, query) for label, count in _shares(DEMO_LABELS, jobs).items() if count}
    with Producer(timeout_seconds=TIMEOUT_SECONDS) as producer:
        started = time.monotonic()
        posted = _post(producer, bodies)
        responses: dict[str, Response] = {}
        with live_progress({label: len(of_label) for label, of_label in bodies.items()}) as ticker:
            for response in _collect(producer, list(posted), ticker):
                responses[response.message_id] = response
        outcome.seconds = time.monotonic() - started
    _count(outcome, posted, responses)
    outcome.computed = _wait_until_counted(stack, before + outcome.results) - before
    outcome.rows = rows_of(stack.stats())
    _explain(outcome, posted, responses)
    return outcome


def rows_of(stats: Sequence[dict[str, Any]]) -> list[Row]:
    """The table of what consumers report, ordered by label and consumer."""
    rows = []
    for consumer in stats:
        for label, counts in consumer["labels"].items():
            seconds = sorted(counts["service_seconds"])
            rows.append(
                Row(
                    label,
                    str(consumer["consumer_id"]),
                    counts["jobs"],
                    counts["misses"],
                    counts["load_seconds"],
                    percentile(seconds, 50),
                    percentile(seconds, 99),
                )
            )
    return sorted(rows, key=lambda row: (row.label, row.consumer))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the ordered values do not exceed; 0 without values."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)] if ordered else 0.0


def nearest(query: Any, others: dict[str, Any], count: int = NEAREST) -> list[Neighbour]:
    """The `count` sentences whose embeddings have the greatest cosine to the query's."""
    found = [Neighbour(sentence, _cosine(query, vector)) for sentence, vector in others.items()]
    return sorted(found, key=lambda neighbour: -neighbour.cosine)[:count]


def _cosine(left: Any, right: Any) -> float:
    a, b = np.ravel(np.asarray(left, dtype=np.float64)), np.ravel(np.asarray(right, dtype=np.float64))
    return round(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))), 6)


def _shares(labels: Sequence[str], jobs: int) -> dict[str, int]:
    """How many of the jobs each label gets, as evenly as possible."""
    return {label: jobs // len(labels) + (place < jobs % len(labels)) for place, label in enumerate(labels)}


def _bodies(label: str, count: int, query: str) -> list[Any]:
    """`count` real inputs; those of the embedding model begin with the query and the sentences."""
    inputs: list[Any]
    if label == EMBEDDING_LABEL:
        inputs = [{"TEXT": np.array([text.encode()], dtype=object)} for text in (query, *SENTENCES)]
    else:
        inputs = list(sample_inputs(label))
    return list(itertools.islice(itertools.cycle(inputs), count))


def _post(producer: Producer, bodies: dict[str, list[Any]]) -> dict[str, tuple[str, Any]]:
    """Post for all labels at once; returns the label and body of each message id."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        ids = pool.map(lambda label: producer.post_many(bodies[label], label), bodies)
        pairs = zip(bodies, ids, strict=True)
        return {
            message_id: (label, body)
            for label, of_label in pairs
            for message_id, body in zip(of_label, bodies[label], strict=True)
        }


def _collect(producer: Producer, message_ids: list[str], ticker: Ticker) -> Iterator[Response]:
    for response in producer.as_completed(message_ids):
        ticker.tick(response.label)
        yield response


def _count(outcome: DemoRun, posted: dict[str, tuple[str, Any]], responses: dict[str, Response]) -> None:
    outcome.posted = len(posted)
    finished = [responses[message_id] for message_id in posted if message_id in responses]
    outcome.results = sum(response.status.finished for response in finished)
    outcome.succeeded = sum(response.ok for response in finished)
    outcome.errors = [f"{response.label}: {response.error}" for response in finished if response.error]


def _computed(stats: Sequence[dict[str, Any]]) -> int:
    return sum(int(counts["jobs"]) for consumer in stats for counts in consumer["labels"].values())


def _wait_until_counted(stack: LocalStack, expected: int) -> int:
    deadline = time.monotonic() + COUNT_SECONDS
    while (computed := _computed(stack.stats())) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return computed


def _explain(outcome: DemoRun, posted: dict[str, tuple[str, Any]], responses: dict[str, Response]) -> None:
    """Fill in what people can check: an example per label, and the neighbours of the query."""
    results: dict[str, list[Any]] = {}
    for message_id, (label, _) in posted.items():
        response = responses.get(message_id)
        results.setdefault(label, []).append(response.result if response and response.ok else None)
    for label, of_label in results.items():
        if found := [result for result in of_label if result is not None]:
            lines = [describe(label, result) for result in found[:EXAMPLES]]
            outcome.examples[label] = "; ".join(dict.fromkeys(lines))
    embeddings = [result["EMBEDDING"][0] if result else None for result in results.get(EMBEDDING_LABEL, ())]
    query, others = (embeddings[0], embeddings[1:]) if embeddings else (None, [])
    if query is not None:
        vectors = {text: vector for text, vector in zip(SENTENCES, others, strict=False) if vector is not None}
        outcome.neighbours = nearest(query, vectors)
