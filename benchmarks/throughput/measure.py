"""The runs of one contender: its jobs and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ..peers.processes import ProducerProcess

#: The number of labels over which all jobs are spread.
LABELS = 5


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: jobs per run, runs, blocking posts; jobs and posts of a peer."""

    jobs: int
    runs: int
    posts: int
    peer_jobs: int = 0
    peer_posts: int = 0


FULL = Size(jobs=2_000, runs=3, posts=100, peer_jobs=400, peer_posts=20)
QUICK = Size(jobs=500, runs=1, posts=20)


@dataclass(frozen=True, slots=True)
class Run:
    """One run; rates are jobs per second, processor seconds are per 1,000 jobs."""

    rate: float
    submit_rate: float
    consumer_cpu: float
    producer_cpu: float


@dataclass(slots=True)
class Contender:
    """Something that runs jobs. `arguments` go with each bulk command; `consumer_cpu` returns processor seconds so far."""

    name: str
    producer: ProducerProcess
    consumer_cpu: Callable[[], float]
    command: str = "bulk"
    arguments: dict[str, Any] = field(default_factory=dict)
    post_arguments: dict[str, Any] = field(default_factory=dict)

    def warm(self) -> None:
        """Run jobs until all labels are loaded, connections are open and code is compiled."""
        self.producer.do(self.command, jobs=10 * LABELS, **self.arguments)

    def run(self, jobs: int) -> Run:
        """One measured run."""
        before = self.consumer_cpu()
        answer = self.producer.do(self.command, jobs=jobs, **self.arguments)
        return Run(
            rate=jobs / answer["collected"],
            submit_rate=jobs / answer["submitted"],
            consumer_cpu=1000 * (self.consumer_cpu() - before) / jobs,
            producer_cpu=1000 * answer["cpu_seconds"] / jobs,
        )

    def post(self) -> float:
        """Seconds of one blocking post."""
        return self.producer.do("post", **self.post_arguments)["collected"]

    def requests(self, jobs: int, calls: Counter[str]) -> float:
        """AWS requests per job of one more run, counted by `calls`."""
        before = calls.total()
        self.run(jobs)
        return (calls.total() - before) / jobs


@dataclass(slots=True)
class Result:
    """All measurements of one contender; posts in seconds."""

    name: str
    runs: list[Run] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)
    requests: float | None = None

    def median(self, number: str) -> float:
        """The median of one of the numbers of a run."""
        return float(median(getattr(run, number) for run in self.runs))

    def post_ms(self, share: float) -> float | None:
        """The quantile `share` of the blocking posts, in milliseconds."""
        if not self.posts:
            return None
        ordered = sorted(self.posts)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]
