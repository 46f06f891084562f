"""Coalesces concurrent calls: items that arrive while a batch is in flight leave in the next one.

A lone item is sent at once; others gather while AWS answers. Only items submitted as *patient*, because more of their kind are
about to arrive, wait a moment for others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .tasks import TaskSet

Item = TypeVar("Item")
Result = TypeVar("Result")

#: How long a patient item waits for others.
LINGER_SECONDS = 0.02


@dataclass(slots=True, eq=False)
class _WaitingItem(Generic[Item, Result]):
    item: Item
    size: int
    key: Hashable | None
    future: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher(Generic[Item, Result]):
    """Gathers items into calls of at most `max_items` and `max_bytes`, up to `concurrency` calls at once.

    `send` gets the items of one call in order and returns a result or an exception for each. While a call is in flight, another
    starts only when it would be full: otherwise many small batches would replace one large one. Items with the same key never
    share a call.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int,
        max_bytes: int | None = None,
        size_of: Callable[[Item], int] = lambda _: 0,
        key_of: Callable[[Item], Hashable | None] = lambda _: None,
        concurrency: int = 1,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._key_of = key_of
        self._concurrency = concurrency
        #: In order. A dictionary, because removing one of thousands of items must be fast.
        self._waiting: OrderedDict[_WaitingItem[Item, Result], None] = OrderedDict()
        self._calls: TaskSet[None] = TaskSet()
        self._scheduled = False
        self._lingering: asyncio.TimerHandle | None = None
        #: Whether an item waits that is not patient, or no longer patient.
        self._due = False

    async def submit(self, item: Item, *, patient: bool = False) -> Result:
        """Return the result of `item`. Raises what `send` reported for it, or what `send` raised for the whole call.

        If the caller is cancelled before the item is sent, the item is dropped.
        """
        waiting: _WaitingItem[Item, Result] = _WaitingItem(item, self._size_of(item), self._key_of(item))
        self._waiting[waiting] = None
        if not patient or len(self._waiting) >= self._max_items:
            self._start_soon()
        elif self._lingering is None and not self._due:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._start_soon)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            raise

    async def close(self) -> None:
        """Wait until all submitted items were sent and answered."""
        while self._calls or self._waiting:
            self._start_soon()
            await self._calls.ended()
            await asyncio.sleep(0)

    def _start_soon(self) -> None:
        """Start calls in the loop's next turn, so that all items submitted in this turn are sent together."""
        self._due = True
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_calls)

    def _start_calls(self) -> None:
        self._scheduled = False
        while self._due and (
            not self._calls or (len(self._calls) < self._concurrency and len(self._waiting) >= self._max_items)
        ):
            if batch := self._take():
                self._calls.start(self._call(batch)).add_done_callback(lambda _: self._start_calls())
            self._due = bool(self._waiting)

    def _take(self) -> list[_WaitingItem[Item, Result]]:
        batch: list[_WaitingItem[Item, Result]] = []
        held_back: list[_WaitingItem[Item, Result]] = []
        keys: set[Hashable] = set()
        size = 0
        while self._waiting and len(batch) < self._max_items:
            head = next(iter(self._waiting))
            if head.future.done():
                del self._waiting[head]
                continue
            if batch and self._max_bytes is not None and size + head.size > self._max_bytes:
                break
            del self._waiting[head]
            if head.key is not None and head.key in keys:
                held_back.append(head)
                continue
            if head.key is not None:
                keys.add(head.key)
            batch.append(head)
            size += head.size
        for waiting in reversed(held_back):
            self._waiting[waiting] = None
            self._waiting.move_to_end(waiting, last=False)
        return batch

    async def _call(self, batch: list[_WaitingItem[Item, Result]]) -> None:
        try:
            outcomes = await self._send([waiting.item for waiting in batch])
        except BaseException as error:
            outcomes = [error] * len(batch)
            if not isinstance(error, Exception):
                raise
        finally:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(outcome, BaseException):
                    waiting.future.set_exception(outcome)
                else:
                    waiting.future.set_result(outcome)
