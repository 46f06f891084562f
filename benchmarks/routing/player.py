"""Replays a trace with real producers: each is synchronous, and all follow the order of the trace."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..simulation.traces import Event, Trace

#: Posts a job for a label and returns when its result has arrived.
Post = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Played:
    """When one event started and ended; Unix seconds."""

    event: Event
    started_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """From the post to the result."""
        return self.ended_at - self.started_at


class Order:
    """Lets an event begin when all earlier ones have begun and all that end before it in nominal time have ended."""

    def __init__(self, trace: Trace) -> None:
        ends = sorted((event.ends_at, index) for index, event in enumerate(trace))
        self._place = {index: place for place, (_, index) in enumerate(ends)}
        self._needed = [bisect_right(ends, (event.starts_at, len(ends))) for event in trace]
        self._ended = [False] * len(trace)
        self._ended_up_to = 0
        self._begun = 0
        self._failed = False
        self._changed = threading.Condition()

    def begin(self, index: int) -> None:
        """Wait for the turn of the event at `index`. Raises RuntimeError when another event has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._may_begin(index))
            if self._failed:
                raise RuntimeError("another producer has failed")
            self._begun += 1
            self._changed.notify_all()

    def end(self, index: int, *, failed: bool = False) -> None:
        """Record that the event has ended."""
        with self._changed:
            self._failed = self._failed or failed
            self._ended[self._place[index]] = True
            while self._ended_up_to < len(self._ended) and self._ended[self._ended_up_to]:
                self._ended_up_to += 1
            self._changed.notify_all()

    def _may_begin(self, index: int) -> bool:
        return self._begun == index and self._ended_up_to >= self._needed[index]


def play(trace: Trace, posts: list[Post], *, factor: float, ordered: bool, told: Callable[[int], None]) -> list[Played]:
    """Replay `trace` with all waits divided by `factor`; producer n posts with `posts[n]`.

    With `ordered`, an event waits for those before it. Compressed time needs this, because the duration of a job is not
    divided. `told` is called with the number of events that have ended.
    """
    order = Order(trace) if ordered else None
    by_producer: dict[int, list[int]] = defaultdict(list)
    for index, event in enumerate(trace):
        by_producer[event.producer].append(index)
    done: list[Played] = []

    def produce(producer: int) -> None:
        for index in by_producer[producer]:
            event = trace[index]
            time.sleep(event.wait_seconds / factor)
            if order:
                order.begin(index)
            started_at, failed = time.time(), True
            try:
                posts[producer](event.label)
                failed = False
            finally:
                if order:
                    order.end(index, failed=failed)
            done.append(Played(event, started_at, time.time()))
            told(len(done))

    with ThreadPoolExecutor(len(by_producer)) as pool:
        for outcome in [pool.submit(produce, producer) for producer in by_producer]:
            outcome.result()
    return sorted(done, key=lambda played: played.started_at)
