"""A contender whose producer and consumer each talk to AWS through a proxy of their own: who called what, phase by phase."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from inference_engine.local.processes import ChildProcess

from ..deployment import Deployment
from ..peers import processes
from ..peers.processes import ProducerProcess
from .billing import Bill
from .proxy import Account, BillingProxy, difference

#: After its last job a consumer still deletes messages: a phase is over when nothing was called for so long.
QUIET_SECONDS = 0.2
#: With background calls it never gets quiet: this is the limit of patience.
QUIET_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What a workload called: by the producer, and by the consumer, what goes on in the background included."""

    jobs: int
    producer: Account
    consumer: Account

    @property
    def total(self) -> Bill:
        """All of it."""
        return sum((*self.producer.values(), *self.consumer.values()), Bill())

    @property
    def requests_per_job(self) -> float:
        """All told."""
        return self.total.calls / self.jobs

    @property
    def dollars_per_million(self) -> float:
        """Dollars for a million such jobs, all told."""
        return self.total.dollars / self.jobs * 1e6


@dataclass(slots=True)
class Metered:
    """A running producer and consumer, and their proxies."""

    process: ProducerProcess
    producer: BillingProxy
    consumer: BillingProxy

    def phase(self, jobs: int, work: Callable[[ProducerProcess], object]) -> Phase:
        """Do `work`, which is `jobs` jobs, and tell what it called."""
        before = self.producer.account(), self.consumer.account()
        work(self.process)
        self.quiet()
        made = difference(self.producer.account(), before[0]), difference(self.consumer.account(), before[1])
        return Phase(jobs, *made)

    def quiet(self) -> None:
        """Wait until what was begun is over."""
        deadline = time.monotonic() + QUIET_PATIENCE_SECONDS
        known: tuple[Account, Account] | None = None
        while time.monotonic() < deadline and (now := (self.producer.account(), self.consumer.account())) != known:
            known = now
            time.sleep(QUIET_SECONDS)


@contextmanager
def proxied(deployed: Deployment) -> Iterator[tuple[Deployment, BillingProxy]]:
    """The same deployment, seen through a proxy of its own."""
    with BillingProxy(deployed.emulator.endpoint_url) as proxy:
        yield replace(deployed, proxy=proxy), proxy


def variables(deployed: Deployment) -> dict[str, str]:
    """All variables of a contender's process."""
    return processes.module_environment({**os.environ, **deployed.environment()})


@contextmanager
def metered(
    deployed: Deployment, consume: Callable[[Deployment], AbstractContextManager[ChildProcess]], produce: Sequence[str]
) -> Iterator[Metered]:
    """A consumer that `consume` starts in the deployment that it is given, and a producer by its command."""
    with (
        proxied(deployed) as (behind, consumer_proxy),
        proxied(deployed) as (before, producer_proxy),
        consume(behind) as consumer,
        processes.producer(produce, variables(before), consumer) as producer,
    ):
        yield Metered(producer, producer_proxy, consumer_proxy)
