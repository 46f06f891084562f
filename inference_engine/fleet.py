"""What the registry tells of the fleet: consumers, labels, and who holds what. Values without I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ConsumerState = Literal["alive", "draining", "gone"]


class LabelSettings(BaseModel):
    """What is set for one label.

    `lanes` is how many consumers may work on the label at once (its message groups); `max_in_flight` bounds its jobs that one
    consumer computes at once.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    lanes: int = Field(1, ge=1, le=1000)
    max_in_flight: int | None = Field(None, ge=1)


class TensorSignature(BaseModel):
    """One input or output of a model: Triton's name of its datatype, and its shape with -1 for a free dimension."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


class ModelSignature(BaseModel):
    """What a label's model takes and gives, as its last load found it; without tensors where only the model knows.

    `platform` says what runs it, in Triton's words where Triton has some (`onnxruntime_onnx`, `python`).
    """

    model_config = ConfigDict(frozen=True)

    label: str
    platform: str = ""
    inputs: tuple[TensorSignature, ...] = ()
    outputs: tuple[TensorSignature, ...] = ()


class LabelStatistics(BaseModel):
    """What a consumer measured of a label it holds; seconds and bytes.

    `service_seconds` is how long one of its jobs takes, `task_seconds` how much of the consumer's time that is, where jobs are
    computed together; `busy` is how much of the consumer's time they took of late (1: all of it). `oldest_sent_at` is when the
    oldest of its jobs in hand was sent (Unix seconds), None when there is none.
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
    `jobs` and `misses` count since it started: jobs that ended, and loads that a job had to wait for.
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
        """Labels that it holds, and could hold besides."""
        return self.free_slots + len(self.loaded) + len(self.loading)

    def state(self, now: float) -> ConsumerState:
        """`alive`, `draining`, or `gone` when its lease has run out."""
        if self.lease_until <= now:
            return "gone"
        return "draining" if self.draining else "alive"

    def holds(self, label: str) -> bool:
        """Whether the label is loaded here, or will be in a moment."""
        return label in self.loaded or label in self.loading


@dataclass(frozen=True, slots=True)
class Fleet:
    """All consumers of a cell at one moment (`read_at`, Unix seconds)."""

    consumers: tuple[ConsumerView, ...] = ()
    read_at: float = 0.0
    _by_id: dict[str, ConsumerView] = field(init=False, repr=False, compare=False)
    # Made for the second label that is asked for: many ask for one and throw the fleet away, some ask for each of thousands.
    _by_label: dict[str, list[ConsumerView]] | None = field(default=None, init=False, repr=False, compare=False)
    _asked: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {view.consumer_id: view for view in self.consumers})

    def live(self, now: float) -> Iterable[ConsumerView]:
        """Those whose lease runs and who are not leaving."""
        return _live(self.consumers, now)

    def hosts(self, label: str, now: float) -> list[ConsumerView]:
        """Live consumers that hold the label."""
        return list(_live(self._holders(label), now))

    def _holders(self, label: str) -> list[ConsumerView]:
        """All that hold the label, whether they live or not."""
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
        """The same fleet with one row replaced: what a consumer knows of itself is newer than what it read."""
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
