"""What consumers call when they have nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from inference_engine import Producer
from inference_engine.aws.provision import provision_now
from inference_engine.settings import Settings

from ..deployment import EmulatedDeployment, consumers
from .metered import proxied
from .proxy import Account, BillingProxy, difference

#: Labels for which an idle consumer has room.
ROOM = 4


@dataclass(slots=True)
class Idle:
    """An idle consumer since `started` (time.monotonic)."""

    held: int
    settings: Settings
    proxy: BillingProxy
    before: Account
    started: float

    def per_minute(self) -> dict[tuple[str, str], float]:
        """Requests a minute so far, by operation and resource."""
        minutes = (time.monotonic() - self.started) / 60
        return {key: bill.calls / minutes for key, bill in difference(self.proxy.account(), self.before).items()}


@contextmanager
def idle_consumers(deployed: EmulatedDeployment, numbers: Sequence[int]) -> Iterator[Sequence[Idle]]:
    """One consumer for each number of labels to hold, each on its own prefix, idle from now on."""
    with ExitStack() as stack:
        started = [stack.enter_context(_idle_consumer(deployed, held)) for held in numbers]
        for one in started:
            one.before, one.started = one.proxy.account(), time.monotonic()
        yield started


@contextmanager
def _idle_consumer(deployed: EmulatedDeployment, held: int) -> Iterator[Idle]:
    settings = Settings(prefix=f"idle-{held}")
    provision_now(settings)
    own = EmulatedDeployment(settings, deployed.emulator)
    with (
        proxied(own) as (behind, proxy),
        consumers(behind, 1, "--function", "benchmarks.functions:echo", "--max-labels", str(ROOM)),
    ):
        with Producer(settings) as producer:
            for number in range(held):
                producer.post(number, f"label-{number}")
        yield Idle(held, settings, proxy, {}, 0.0)
