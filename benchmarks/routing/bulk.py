"""A bulk backlog: jobs of very many labels, all posted at once, for a fleet that can hold few of these labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.deployment import deployment
from inference_engine import Producer

from ..simulation.labels import bulk, names
from .cases import FACTOR, SEED, SLEPT, settings
from .outcomes import Bulk
from .replay import Told
from .workers import FleetPlan, workers

#: Threads that post, each one label at a time: their batches share requests.
POSTING_THREADS = 16
#: Longer than a whole run takes: ends a backlog that hangs.
TIMEOUT_SECONDS = 300.0


def measure(
    labels: int, *, posts: int, consumers: int, slots: int, journal: Path | None = None, told: Told = print
) -> Bulk:
    """Run `posts` jobs of each of `labels` labels, with models that only sleep."""
    order = bulk(names(labels), seed=SEED)
    with deployment(**settings(FACTOR)) as deployed:
        plan = FleetPlan(consumers, slots, SLEPT, journal=journal)
        with workers(deployed, plan) as fleet, Producer(timeout_seconds=TIMEOUT_SECONDS) as producer:
            started = time.monotonic()
            ids = _post(producer, order, posts)
            told(f"bulk: {len(ids)} jobs posted in {time.monotonic() - started:.0f} s")
            for ended, response in enumerate(producer.as_completed(ids), 1):
                if not response.ok:
                    raise RuntimeError(f"a job of the backlog failed: {response}")
                if ended % (len(ids) // 5) == 0:
                    told(f"bulk: {ended} of {len(ids)} jobs, {sum(one.misses for one in fleet)} misses")
            seconds = time.monotonic() - started
            return Bulk(labels, len(ids), plan.total_slots, sum(one.misses for one in fleet), seconds)


def _post(producer: Producer, labels: Sequence[str], posts: int) -> list[str]:
    with ThreadPoolExecutor(POSTING_THREADS) as pool:
        batches = pool.map(lambda label: producer.post_many([label] * posts, label), labels)
        return [message_id for batch in batches for message_id in batch]
