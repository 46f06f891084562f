"""A dispatched request's place among those on their way, until it is released."""

from __future__ import annotations

from collections.abc import Callable

from .queues import LabelQueue


class Permit:
    """A request that was dispatched and counts as on its way until it is released. Use it with `with`."""

    __slots__ = ("_queue", "_released")

    def __init__(self, queue: LabelQueue, released: Callable[[LabelQueue], None]) -> None:
        self._queue: LabelQueue | None = queue
        self._released = released

    @property
    def served(self) -> bool:
        """Whether any consumer lives, as far as is known now."""
        return self._queue is not None and self._queue.room.served

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        queue, self._queue = self._queue, None
        if queue is not None:
            self._released(queue)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()
