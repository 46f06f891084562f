"""A consumer's metrics: in Prometheus's format, and by label for people; and how its time is divided among its jobs.

Twenty jobs that Triton computes together in a second take a second each, and a twentieth of a second of the consumer. Only the
latter says how much work a backlog is. It is the job's share of time: while n jobs are computed, each is charged 1/n.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..fleet.view import LabelStatistics

#: Durations kept per label for percentiles.
DURATIONS_KEPT = 1000
#: Weight of the newest job in a label's mean service time.
SERVICE_WEIGHT = 0.1
#: The same for its mean share of the consumer's time: autoscaling follows this value, so it must change slowly.
SHARE_WEIGHT = 0.02
#: "Recent" covers the last one to two of these windows (seconds): long enough to change slowly; older work no longer counts.
RECENT_SECONDS = 200.0


@dataclass(slots=True)
class Computation:
    """The computation of one job: how long it took, and its share of the consumer's time; seconds, 0 until it is over."""

    seconds: float = 0.0
    share: float = 0.0


class ComputeTime:
    """All computations of one consumer; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock = clock
        self._computing = 0
        self._at = 0.0
        # The total charge to a hypothetical job computed all along beside the others. A job's share is a difference of this.
        self._charged = 0.0

    @contextmanager
    def measure(self) -> Iterator[Computation]:
        """Measure a job that is computed inside the block."""
        computation = Computation()
        began = self._advance(+1)
        charged = self._charged
        try:
            yield computation
        finally:
            computation.seconds = self._advance(-1) - began
            computation.share = self._charged - charged

    def _advance(self, change: int) -> float:
        now = self._clock()
        if self._computing:
            self._charged += (now - self._at) / self._computing
        self._at = now
        self._computing += change
        return now


class Recent:
    """How much of the consumer's recent time some jobs took."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock = clock
        self._since = clock()
        self._before = self._now = 0.0

    def add(self, seconds: float) -> None:
        """Charge seconds of the consumer's time."""
        self._move()
        self._now += seconds

    def rate(self) -> float:
        """Seconds of the consumer's time per second, at most 1; exactly 0 after a while without work."""
        self._move()
        # A job is charged when it ends: all of a long job's time is charged at once.
        return min(1.0, (self._before + self._now) / (RECENT_SECONDS + self._clock() - self._since))

    def _move(self) -> None:
        passed = (self._clock() - self._since) // RECENT_SECONDS
        if passed:
            self._before, self._now = (self._now if passed == 1 else 0.0), 0.0
            self._since += passed * RECENT_SECONDS


@dataclass(slots=True)
class LabelCounts:
    """One label's numbers since the consumer started; seconds."""

    jobs: int = 0
    computed: int = 0
    misses: int = 0
    load_seconds: float = 0.0
    last_load_seconds: float = 0.0
    service_mean: float = 0.0
    share_mean: float = 0.0
    recent: Recent = field(default_factory=Recent)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=DURATIONS_KEPT))


class ConsumerMetrics:
    """Counts of one consumer, in their own collector registry, so that one process can run several consumers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = 0
        self.misses = 0
        self.labels: dict[str, LabelCounts] = {}
        self.compute_time = ComputeTime()
        self._jobs = Counter("inference_engine_jobs", "Jobs that ended", ["label", "status"], registry=self.registry)
        self._misses = Counter(
            "inference_engine_label_misses", "Loads that a job waited for", ["label"], registry=self.registry
        )
        self._loads = Histogram(
            "inference_engine_load_seconds", "Seconds to load a model", ["label"], registry=self.registry
        )
        self._seconds = Histogram(
            "inference_engine_job_seconds", "Seconds that a job took to compute", ["label"], registry=self.registry
        )
        self._in_flight = Gauge("inference_engine_jobs_in_flight", "Jobs in flight now", registry=self.registry)
        self._loaded = Gauge("inference_engine_labels_loaded", "Labels loaded now", registry=self.registry)

    def of(self, label: str) -> LabelCounts:
        """The counts of a label."""
        counts = self.labels.get(label)
        if counts is None:
            counts = self.labels[label] = LabelCounts()
        return counts

    def job_ended(self, label: str, status: str, computation: Computation | None = None) -> None:
        """Count a finished job and, if it was computed, its computation time."""
        self._jobs.labels(label, status).inc()
        self.jobs += 1
        counts = self.of(label)
        counts.jobs += 1
        if computation is None:
            return
        counts.computed += 1
        seconds = computation.seconds
        counts.durations.append(seconds)
        counts.service_mean += (seconds - counts.service_mean) * (SERVICE_WEIGHT if counts.computed > 1 else 1)
        self.charge(label, computation)
        counts.share_mean += (computation.share - counts.share_mean) * max(SHARE_WEIGHT, 1 / counts.computed)
        self._seconds.labels(label).observe(seconds)

    def charge(self, label: str, computation: Computation) -> None:
        """Charge a computation, whatever its outcome, to the label's share of the consumer's recent time."""
        self.of(label).recent.add(computation.share)

    def loaded(self, label: str, seconds: float) -> None:
        """Count a load, which is a label miss."""
        self.misses += 1
        counts = self.of(label)
        counts.misses += 1
        counts.load_seconds += seconds
        counts.last_load_seconds = seconds
        self._misses.labels(label).inc()
        self._loads.labels(label).observe(seconds)

    def now(self, *, in_flight: int, loaded: int) -> None:
        """Set the gauges."""
        self._in_flight.set(in_flight)
        self._loaded.set(loaded)

    def statistics(self, label: str, size_bytes: int, oldest_sent_at: float | None) -> LabelStatistics:
        """A label's numbers for the registry."""
        counts = self.of(label)
        return LabelStatistics(
            load_seconds=round(counts.last_load_seconds, 4),
            service_seconds=round(counts.service_mean, 6),
            task_seconds=round(counts.share_mean, 6),
            busy=round(counts.recent.rate(), 4),
            oldest_sent_at=oldest_sent_at,
            size_bytes=size_bytes,
            jobs=counts.jobs,
        )

    def snapshot(self) -> dict[str, Any]:
        """All labels' numbers as JSON values."""
        return {
            label: {
                "jobs": counts.jobs,
                "misses": counts.misses,
                "load_seconds": counts.load_seconds,
                "service_seconds": list(counts.durations),
            }
            for label, counts in self.labels.items()
        }
