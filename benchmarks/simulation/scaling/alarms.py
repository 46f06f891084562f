"""CloudWatch alarms, and Application Auto Scaling of an ECS service.

Amazon CloudWatch User Guide, "Alarm actions": an Auto Scaling action repeats each minute for as long as its alarm lasts.
Application Auto Scaling User Guide, "How target tracking scaling works": cooldowns; capacity is rounded up; of several
policies the one that asks for most wins. The alarms that a target tracking policy makes for itself take three one-minute
points above the target to scale out, and fifteen below nine tenths of it to scale in (as the console shows; the guide does
not say). Amazon ECS Developer Guide, "Automatically scale your Amazon ECS service": scaling starts from the running count.
It sets the desired count, which other services multiply, so a day is simulated with either count.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .service import Service

OUT_POINTS = 3
IN_POINTS = 15
IN_SHARE = 0.9


class Start(Enum):
    """Which count is multiplied by metric / target."""

    RUNNING = "running"
    DESIRED = "desired"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment chooses: the target and the cooldowns in seconds, and the largest fleet."""

    target: float = 60.0
    scale_out_cooldown: float = 60.0
    scale_in_cooldown: float = 300.0
    most: int = 30


@dataclass(slots=True)
class Alarm:
    """In alarm while each of the last `points` values is beyond the threshold."""

    points: int
    beyond: Callable[[float], bool]
    _last: deque[bool] = field(init=False)

    def __post_init__(self) -> None:
        self._last = deque(maxlen=self.points)

    def put(self, value: float) -> bool:
        """Add a point; return whether the alarm is on now."""
        self._last.append(self.beyond(value))
        return len(self._last) == self.points and all(self._last)


@dataclass(slots=True)
class Change:
    """A change of the desired count."""

    at: float
    before: int
    after: int


class AutoScaling:
    """A target tracking policy, and the step from zero."""

    def __init__(self, service: Service, settings: Settings, start: Start) -> None:
        self.changes: list[Change] = []
        self._service = service
        self._settings = settings
        self._start = start
        target = settings.target
        self._high = Alarm(OUT_POINTS, lambda value: value > target)
        self._low = Alarm(IN_POINTS, lambda value: value < IN_SHARE * target)
        self._wake = Alarm(1, lambda value: value >= 1)
        self._out_until = -math.inf
        self._in_until = -math.inf
        # The capacity before the activity that began the cooldown, so that what it added is not added twice.
        self._base = 0

    def minute(self, now: float, metric: float, requires_consumer: float) -> None:
        """Take new points of both metrics, and act as the alarms do."""
        high, low, wake = self._high.put(metric), self._low.put(metric), self._wake.put(requires_consumer)
        wanted = [1] if wake else []
        if high:
            wanted.append(self._tracked(metric, self._capacity() if now >= self._out_until else self._base))
        if wanted:
            self._scale_out(now, max(wanted))
        elif low:
            self._scale_in(now, self._tracked(metric, self._capacity()))

    def _capacity(self) -> int:
        return self._service.desired if self._start is Start.DESIRED else len(self._service.running)

    def _tracked(self, metric: float, base: int) -> int:
        # An empty fleet is scaled out "by the minimum possible amount" (ECS Developer Guide).
        wanted = (
            math.ceil(base * metric / self._settings.target - 1e-9) if base else int(metric > self._settings.target)
        )
        return min(self._settings.most, wanted)

    def _scale_out(self, now: float, wanted: int) -> None:
        if wanted <= self._service.desired:
            return
        if now >= self._out_until:
            self._base = self._capacity()
        self._out_until = now + self._settings.scale_out_cooldown
        self._in_until = -math.inf
        self._set(now, wanted)

    def _scale_in(self, now: float, wanted: int) -> None:
        if now < self._in_until or wanted >= self._service.desired:
            return
        self._in_until = now + self._settings.scale_in_cooldown
        self._set(now, wanted)

    def _set(self, now: float, wanted: int) -> None:
        self.changes.append(Change(now, self._service.desired, wanted))
        self._service.desired = wanted
        self._service.reconcile()
