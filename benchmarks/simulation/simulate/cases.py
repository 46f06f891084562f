"""What is simulated, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .backend import Durations
from .fleet import Calls

_READS = ("query", "get_item")
_WRITES = ("put_item", "delete_item", "update_item")


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated. `deaths` consumers are killed evenly over the time, each replaced after `replaced_seconds`.

    `silent` further labels are known and were used before, but nobody asks for them.
    """

    name: str
    consumers: int
    labels: int
    seconds: float
    slots: int = 3
    exponent: float = 1.2
    jobs_per_consumer_second: float = 0.5
    deaths: int = 0
    replaced_seconds: float = 20.0
    silent: int = 0
    seed: int = 1
    durations: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a case. Waits (from post to result) and `virtual_seconds` are on the virtual clock.

    Requests are counted from the first post to the last result. Processor times are those of this process.
    """

    case: Case
    posts: int
    results: int
    distinct: int
    misses: int
    bound: int
    waits: tuple[float, ...]
    virtual_seconds: float
    wall_seconds: float
    cpu_seconds: float
    deciding_seconds: float
    consumer_calls: Calls
    producer_calls: Calls

    def wait(self, share: float) -> float:
        """The wait that `share` of the jobs did not exceed, in seconds."""
        return self.waits[min(int(len(self.waits) * share), len(self.waits) - 1)]

    @property
    def lost(self) -> int:
        """Jobs without their correct result."""
        return self.posts - self.results

    @property
    def requests(self) -> int:
        """All requests to AWS."""
        return self.consumer_calls.total() + self.producer_calls.total()

    @property
    def misses_to_bound(self) -> float:
        """Loads of the fleet per load of the bound."""
        return self.misses / self.bound

    @property
    def registry_reads(self) -> int:
        """Reads of the registry by consumers and producers."""
        return _count(self.consumer_calls + self.producer_calls, "registry", _READS)

    @property
    def registry_writes(self) -> int:
        """Writes to the registry, which only consumers do."""
        return _count(self.consumer_calls + self.producer_calls, "registry", _WRITES)

    @property
    def placement_requests(self) -> int:
        """Requests to placement queues by consumers and producers."""
        return _count(self.consumer_calls + self.producer_calls, "placement")

    @property
    def deciding_requests(self) -> int:
        """All requests to the registry and to placement queues."""
        return self.registry_reads + self.registry_writes + self.placement_requests


def _count(calls: Calls, subject: str, operations: tuple[str, ...] = ()) -> int:
    return sum(
        count
        for (operation, about), count in calls.items()
        if about == subject and (not operations or operation in operations)
    )
