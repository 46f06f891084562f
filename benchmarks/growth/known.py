"""What a consumer pays for every label that it has ever served: a consumer that knows many, beside one that knows few."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from inference_engine import Producer
from inference_engine.aws.provision import provision_now
from inference_engine.settings import Settings
from tests.support.fault_proxy import FaultProxy

from ..deployment import ConsumerProcess, EmulatedDeployment, consumers
from ..proc import resident_bytes

#: The most labels that the measured jobs use; both consumers hold these.
BUSY_LABELS = 10
#: Callers that post at once while labels are served for the first time.
CALLERS = 64
TIMEOUT_SECONDS = 300.0
#: A stopping consumer waits for its polls; short polls keep that wait short.
POLL_SECONDS = 1
#: What an idle consumer calls. Any other call is still about labels that it gave up.
IDLE_CALLS = frozenset({"ReceiveMessage", "Query", "PutItem"})
#: Both consumers count as idle after this long without other calls; the longest time to wait for that. Seconds.
SETTLED_SECONDS, SETTLE_MAX_SECONDS = 2.0, 60.0


@dataclass(slots=True)
class Knowing:
    """A consumer that has served `labels` labels: bytes, cores, and lists with one number per round."""

    labels: int
    resident_bytes: int = 0
    idle_cores: float = 0.0
    idle_requests_per_second: float = 0.0
    metrics_bytes: int = 0
    seconds_per_job: list[float] = field(default_factory=list)
    cpu_seconds_per_job: list[float] = field(default_factory=list)
    requests_per_job: list[float] = field(default_factory=list)


def measure(
    deployed: EmulatedDeployment, counts: Sequence[int], *, idle_seconds: float, jobs: int, rounds: int
) -> list[Knowing]:
    """Measure both consumers in one run: idle at the same time, busy in turn. Both hold as many labels as the first knows."""
    slots = counts[0]
    with ExitStack() as stack:
        pairs = [stack.enter_context(_pair(deployed, count, slots)) for count in counts]
        for pair in pairs:
            pair.learn()
        _settle(pairs)
        for found, pair in zip(_idle(pairs, idle_seconds), pairs, strict=True):
            pair.found.idle_cores, pair.found.idle_requests_per_second = found
        for _ in range(rounds):
            for pair in pairs:
                pair.work(jobs)
        for pair in pairs:
            pair.look()
        return [pair.found for pair in pairs]


@dataclass(slots=True)
class _Pair:
    """A consumer and the only producer that posts to it; the consumer's requests are counted."""

    consumer: ConsumerProcess
    producer: Producer
    proxy: FaultProxy
    busy_labels: int
    found: Knowing

    def learn(self) -> None:
        """Have the consumer serve each label once, and hold the busy ones at the end."""
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(self._serve, range(self.found.labels)))
        for number in range(self.busy_labels):
            self._serve(number)

    def _serve(self, number: int) -> None:
        response = self.producer.post(number, f"label-{number}", timeout_seconds=TIMEOUT_SECONDS)
        if not response.ok:
            raise RuntimeError(f"the first job of a label failed: {response.error}")

    def work(self, jobs: int) -> None:
        """A round of jobs over the busy labels."""
        cpu, calls, started = self.consumer.cpu_seconds, self.proxy.calls.total(), time.monotonic()
        bodies, labels = range(jobs // self.busy_labels), range(self.busy_labels)
        with ThreadPoolExecutor(self.busy_labels) as pool:
            posted = pool.map(lambda label: self.producer.post_many(bodies, f"label-{label}"), labels)
            ids = [message_id for of_label in posted for message_id in of_label]
        if failed := [one for one in self.producer.as_completed(ids, timeout_seconds=TIMEOUT_SECONDS) if not one.ok]:
            raise RuntimeError(f"{len(failed)} of {len(ids)} jobs failed, the first with {failed[0].error}")
        self.found.seconds_per_job.append((time.monotonic() - started) / len(ids))
        self.found.cpu_seconds_per_job.append((self.consumer.cpu_seconds - cpu) / len(ids))
        self.found.requests_per_job.append((self.proxy.calls.total() - calls) / len(ids))

    def look(self) -> None:
        """Measure its memory and the size of a metrics scrape."""
        assert self.consumer.process.pid is not None
        self.found.resident_bytes = resident_bytes(self.consumer.process.pid)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.consumer.http_port}/metrics", timeout=10) as answer:
            self.found.metrics_bytes = len(answer.read())


@contextmanager
def _pair(deployed: EmulatedDeployment, labels: int, slots: int) -> Iterator[_Pair]:
    prefix = f"knows-{labels}"
    # Its own tables, set explicitly: the environment names those of `deployed`.
    tables = {"jobs_table": f"{prefix}-jobs", "registry_table": f"{prefix}-registry"}
    settings = Settings(prefix=prefix, wait_time_seconds=POLL_SECONDS, **tables)
    provision_now(settings)
    own = EmulatedDeployment(settings, deployed.emulator)
    with FaultProxy(deployed.emulator.endpoint_url, share=0) as proxy:
        arguments = ("--function", "benchmarks.functions:echo", "--max-labels", str(slots))
        with (
            consumers(own, 1, *arguments, environment={"AWS_ENDPOINT_URL": proxy.url}) as (consumer,),
            Producer(settings) as producer,
        ):
            yield _Pair(consumer, producer, proxy, min(slots, BUSY_LABELS), Knowing(labels))


def _settle(pairs: Sequence[_Pair]) -> None:
    """Wait until neither consumer has anything left to do."""
    until = time.monotonic() + SETTLE_MAX_SECONDS
    known, since = -1, 0.0
    while time.monotonic() < until:
        busy = sum(count for pair in pairs for call, count in pair.proxy.calls.items() if call not in IDLE_CALLS)
        if busy != known:
            known, since = busy, time.monotonic()
        elif time.monotonic() - since >= SETTLED_SECONDS:
            return
        time.sleep(SETTLED_SECONDS / 10)


def _idle(pairs: Sequence[_Pair], seconds: float) -> list[tuple[float, float]]:
    """Cores and requests per second of each consumer while nobody posts."""
    before = [(pair.consumer.cpu_seconds, pair.proxy.calls.total()) for pair in pairs]
    started = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - started
    return [
        ((pair.consumer.cpu_seconds - cpu) / took, (pair.proxy.calls.total() - calls) / took)
        for pair, (cpu, calls) in zip(pairs, before, strict=True)
    ]
