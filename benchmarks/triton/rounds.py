"""Rounds of both sides in turn, and the processor time that each process used for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from inference_engine import Producer
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import LabelSettings
from inference_engine.local.triton import TritonServer

from ..deployment import EmulatedDeployment, consumers
from ..proc import tree_cpu_seconds
from .sides import Timed, check_same, direct, engine
from .workloads import Workload

#: What the engine has in flight per lane: SQS returns at most ten messages of a message group at once.
JOBS_PER_LANE = 10
#: The model server's slots: every model of the benchmark stays loaded.
SLOTS = 4


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one side: seconds, and processor seconds by process."""

    seconds: float
    cpu: dict[str, float]


@dataclass(slots=True)
class Comparison:
    """Both sides of one workload."""

    workload: Workload
    lanes: int
    jobs: int
    direct: list[Round] = field(default_factory=list)
    engine: list[Round] = field(default_factory=list)

    @property
    def concurrency(self) -> int:
        """Requests in flight at once, on either side."""
        return JOBS_PER_LANE * self.lanes

    def rate(self, rounds: Sequence[Round]) -> float:
        """Items per second, the median of rounds."""
        return self.workload.items * self.jobs / median(one.seconds for one in rounds)

    @property
    def share(self) -> float:
        """The engine's rate as a share of the direct rate."""
        return self.rate(self.engine) / self.rate(self.direct)

    def cpu(self, rounds: Sequence[Round], process: str) -> float:
        """Processor seconds of a process per 1,000 jobs, over all rounds."""
        return sum(one.cpu[process] for one in rounds) / (self.jobs * len(rounds)) * 1000

    def cores(self, rounds: Sequence[Round]) -> float:
        """Cores that all processes kept busy together."""
        return sum(sum(one.cpu.values()) for one in rounds) / sum(one.seconds for one in rounds)


@dataclass(slots=True)
class Bench:
    """Everything that runs: where to post, where Triton is, and the processes whose processor time is read."""

    producer: Producer
    triton: TritonServer
    lanes: int
    pids: dict[str, int]

    def compare(self, workload: Workload, *, rounds: int, round_seconds: float, jobs_min: int) -> Comparison:
        """Run both sides in turn, with as many jobs as the slower one does in about `round_seconds`, but at least `jobs_min`."""
        bodies, label = workload.bodies(), workload.label
        concurrency = JOBS_PER_LANE * self.lanes
        # Not counted: after these, the model is loaded, connections are open and rates are known.
        engine(self.producer, label, bodies[:1], JOBS_PER_LANE)
        through = engine(self.producer, label, bodies, jobs_min)
        straight = direct(self.triton.grpc_url, label, bodies, jobs_min, concurrency)
        check_same(label, straight.first, through.first)
        slower = max(straight.seconds, through.seconds)
        found = Comparison(workload, self.lanes, max(jobs_min, round(jobs_min / slower * round_seconds)))
        for _ in range(rounds):
            with self._round(found.direct) as timed:
                timed.append(direct(self.triton.grpc_url, label, bodies, found.jobs, concurrency))
            with self._round(found.engine) as timed:
                timed.append(engine(self.producer, label, bodies, found.jobs))
        return found

    @contextmanager
    def _round(self, rounds: list[Round]) -> Iterator[list[Timed]]:
        timed: list[Timed] = []
        before = self._cpu()
        yield timed
        after = self._cpu()
        rounds.append(Round(timed[0].seconds, {name: after[name] - before[name] for name in after}))

    def _cpu(self) -> dict[str, float]:
        return {name: tree_cpu_seconds(pid) for name, pid in self.pids.items()} | {"caller": time.process_time()}


@contextmanager
def bench(deployed: EmulatedDeployment, server: TritonServer, labels: Sequence[str], lanes: int) -> Iterator[Bench]:
    """One consumer of `server`, and a producer; every label has `lanes` lanes."""
    asyncio.run(_set_lanes(deployed, labels, lanes))
    with (
        consumers(deployed, 1, "--triton", server.grpc_url, "--max-labels", str(SLOTS)) as (consumer,),
        Producer(deployed.settings) as producer,
    ):
        emulator, model_server, own = deployed.emulator.pid, server.pid, consumer.process.pid
        assert emulator
        assert model_server
        assert own
        yield Bench(producer, server, lanes, {"emulator": emulator, "Triton": model_server, "consumer": own})


async def _set_lanes(deployed: EmulatedDeployment, labels: Sequence[str], lanes: int) -> None:
    aws = Deployment.for_producer(deployed.settings)
    try:
        for label in labels:
            await aws.registry.set_label(LabelSettings(label=label, lanes=lanes))
    finally:
        await aws.close()
