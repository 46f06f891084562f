"""A contender whose producer and consumer each use their own proxy to AWS: who called what, phase by phase."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from inference_engine.local.processes import ChildProcess

from ..deployment import EmulatedDeployment
from ..peers import processes
from ..peers.processes import ProducerProcess
from .billing import Bill
from .proxy import Account, BillingProxy, difference

#: A consumer deletes messages even after its last job: a phase is over when there was no call for this long.
QUIET_SECONDS = 0.2
#: With background calls it never becomes quiet: the longest time to wait for that.
QUIET_WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What the producer and the consumer of a workload called, including calls in the background."""

    jobs: int
    producer: Account
    consumer: Account

    @property
    def total(self) -> Bill:
        """The sum of all bills."""
        return sum((*self.producer.values(), *self.consumer.values()), Bill())

    @property
    def requests_per_job(self) -> float:
        """All requests per job."""
        return self.total.calls / self.jobs

    @property
    def dollars_per_million(self) -> float:
        """Dollars for a million such jobs, for all requests."""
        return self.total.dollars / self.jobs * 1e6


@dataclass(slots=True)
class Metered:
    """A running producer and consumer, and their proxies."""

    process: ProducerProcess
    producer: BillingProxy
    consumer: BillingProxy

    def phase(self, jobs: int, work: Callable[[ProducerProcess], object]) -> Phase:
        """Run `work`, which is `jobs` jobs, and return what it called."""
        before = self.producer.account(), self.consumer.account()
        work(self.process)
        self.quiet()
        made = difference(self.producer.account(), before[0]), difference(self.consumer.account(), before[1])
        return Phase(jobs, *made)

    def quiet(self) -> None:
        """Wait until everything that was started has ended."""
        deadline = time.monotonic() + QUIET_WAIT_SECONDS
        known: tuple[Account, Account] | None = None
        while time.monotonic() < deadline and (now := (self.producer.account(), self.consumer.account())) != known:
            known = now
            time.sleep(QUIET_SECONDS)


@contextmanager
def proxied(deployed: EmulatedDeployment) -> Iterator[tuple[EmulatedDeployment, BillingProxy]]:
    """The same deployment, seen through a separate proxy."""
    with BillingProxy(deployed.emulator.endpoint_url) as proxy:
        yield replace(deployed, proxy=proxy), proxy


def variables(deployed: EmulatedDeployment) -> dict[str, str]:
    """All environment variables of a contender's process."""
    return processes.module_environment({**os.environ, **deployed.environment()})


@contextmanager
def metered(
    deployed: EmulatedDeployment,
    consume: Callable[[EmulatedDeployment], AbstractContextManager[ChildProcess]],
    produce: Sequence[str],
) -> Iterator[Metered]:
    """A consumer, which `consume` starts in the deployment passed to it, and a producer started by its command."""
    with (
        proxied(deployed) as (behind, consumer_proxy),
        proxied(deployed) as (before, producer_proxy),
        consume(behind) as consumer,
        processes.producer(produce, variables(before), consumer) as producer,
    ):
        yield Metered(producer, producer_proxy, consumer_proxy)
