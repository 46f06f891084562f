"""What the registry knows about the fleet: consumers, labels, and which consumer holds which. Values without I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ConsumerState = Literal["alive", "draining", "gone"]


class LabelSettings(BaseModel):
    """The settings of one label.

    `lanes` is how many consumers may work on the label at once (its message groups); `max_in_flight` limits how many of its
    jobs one consumer computes at once.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    lanes: int = Field(1, ge=1, le=1000)
    max_in_flight: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    `datatype` is Triton's name (`FP32`, `BYTES`, ...). `shape` has -1 for a free dimension; it includes the batch
    dimension of a model that batches, as the first.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.shape)}"


class ModelSignature(BaseModel):
    """The inputs and outputs of a label's model, as its last load found them; none where only the model knows them.

    `platform` is what runs the model, by Triton's name where Triton has one (`onnxruntime_onnx`, `python`).
    """

    model_config = ConfigDict(frozen=True)

    label: str
    platform: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A model's consecutive failed loads (`tries`), the last one's reason, and when the failure lapses (Unix seconds)."""

    label: str
    tries: int
    reason: str
    until: float


class LabelStatistics(BaseModel):
    """What a consumer measured for a label that it holds, in seconds and bytes.

    `service_seconds` is how long one of its jobs takes; `task_seconds` is that job's share of the consumer's time, where jobs
    are computed together. `busy` is the share of the consumer's time that its jobs took recently (1: all of it).
    `oldest_sent_at` is when the oldest of its jobs in flight there was sent (Unix seconds), None when there is none.
    """

    model_config = ConfigDict(frozen=True)

    load_seconds: float = 0.0
    service_seconds: float = 0.0
    task_seconds: float = 0.0
    busy: float = 0.0
    oldest_sent_at: float | None = None
    size_bytes: int = 0
    jobs: int = 0


class ConsumerView(BaseModel):
    """A consumer's row in the registry.

    `coldest_at` is when the label that it would evict next was last used (Unix seconds), None when it can evict none.
    Since it started, `jobs` counts the jobs that ended, and `misses` the loads that a job had to wait for.
    """

    model_config = ConfigDict(frozen=True)

    consumer_id: str
    lease_until: float
    free_slots: int = 0
    coldest_at: float | None = None
    loading: tuple[str, ...] = ()
    loaded: dict[str, LabelStatistics] = Field(default_factory=dict)
    in_flight: int = 0
    jobs: int = 0
    misses: int = 0
    draining: bool = False

    @property
    def slots(self) -> int:
        """How many labels it can hold: those it holds, and those it has room for."""
        return self.free_slots + len(self.loaded) + len(self.loading)

    def state(self, now: float) -> ConsumerState:
        """`alive`, `draining`, or `gone` when its lease has run out."""
        if self.lease_until <= now:
            return "gone"
        return "draining" if self.draining else "alive"

    def holds(self, label: str) -> bool:
        """Whether the label is loaded or loading here."""
        return label in self.loaded or label in self.loading


@dataclass(frozen=True, slots=True)
class Fleet:
    """All consumers of a cell at one moment (`read_at`, Unix seconds)."""

    consumers: tuple[ConsumerView, ...] = ()
    read_at: float = 0.0
    _by_id: dict[str, ConsumerView] = field(init=False, repr=False, compare=False)
    # Built at the second look-up: many callers look up one label and discard the fleet, some look up thousands.
    _by_label: dict[str, list[ConsumerView]] | None = field(default=None, init=False, repr=False, compare=False)
    _asked: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {view.consumer_id: view for view in self.consumers})

    def live(self, now: float) -> Iterable[ConsumerView]:
        """Consumers whose lease has not run out and that are not draining."""
        return _live(self.consumers, now)

    def holders(self, label: str, now: float) -> list[ConsumerView]:
        """Live consumers that hold the label."""
        return list(_live(self._holders(label), now))

    def _holders(self, label: str) -> list[ConsumerView]:
        """All consumers that hold the label, live or not."""
        if self._by_label is not None:
            return self._by_label.get(label, [])
        if self._asked:
            object.__setattr__(self, "_by_label", _holders(self.consumers))
        object.__setattr__(self, "_asked", True)
        return [view for view in self.consumers if view.holds(label)]

    def get(self, consumer_id: str) -> ConsumerView | None:
        """The row of one consumer."""
        return self._by_id.get(consumer_id)

    def with_view(self, view: ConsumerView) -> Fleet:
        """The same fleet with one row replaced: what a consumer knows about itself is newer than what it read."""
        others = tuple(other for other in self.consumers if other.consumer_id != view.consumer_id)
        return Fleet((*others, view), self.read_at)


def _live(views: Iterable[ConsumerView], now: float) -> Iterable[ConsumerView]:
    return (view for view in views if view.lease_until > now and not view.draining)


def _holders(views: Iterable[ConsumerView]) -> dict[str, list[ConsumerView]]:
    found: dict[str, list[ConsumerView]] = {}
    for view in views:
        for label in dict.fromkeys((*view.loaded, *view.loading)):
            found.setdefault(label, []).append(view)
    return found
