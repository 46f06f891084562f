"""Requests that carry many items, of which a busy service may refuse some: those alone are sent again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: The wait before the second try; it doubles with each try, up to the longest.
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 6.4


@dataclass(frozen=True, slots=True)
class Again(Generic[Outcome]):
    """The item is to be sent again; `outcome` is what comes of it where there are no more tries."""

    outcome: Outcome


async def send_all(
    items: Sequence[Item],
    send: Callable[[list[Item]], Awaitable[Sequence[Outcome | Again[Outcome]]]],
    *,
    tries: int | None = None,
) -> list[Outcome]:
    """The outcome of each item, in order; `send` returns those of the items that it is given.

    Without `tries`, items are sent until no outcome is `Again`. What `send` raises ends it.
    """
    outcomes: dict[int, Outcome] = {}
    left = list(range(len(items)))
    for turn in itertools.count(1):
        found = await send([items[index] for index in left])
        again = []
        for index, outcome in zip(left, found, strict=True):
            if isinstance(outcome, Again):
                again.append(index)
                outcomes[index] = outcome.outcome
            else:
                outcomes[index] = outcome
        left = again
        if not left or turn == tries:
            break
        await asyncio.sleep(min(FIRST_WAIT_SECONDS * 2 ** (turn - 1), LONGEST_WAIT_SECONDS))
    return [outcomes[index] for index in range(len(items))]
