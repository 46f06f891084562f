"""Which label is requested next. Pure: the same source of chance gives the same labels."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import accumulate

#: Draws the next label.
DrawLabel = Callable[[random.Random], str]


def names(count: int, *, prefix: str = "label", digits: int = 1) -> list[str]:
    """`count` labels, in the order of their names; numbers have at least `digits` digits."""
    digits = max(digits, len(str(count - 1)))
    return [f"{prefix}-{number:0{digits}d}" for number in range(count)]


def uniform(labels: Sequence[str]) -> DrawLabel:
    """Each label as often as any other."""
    return lambda source: source.choice(labels)


def zipf(labels: Sequence[str], exponent: float = 1.0) -> DrawLabel:
    """The label of rank r with a weight of 1 / r ** exponent; the first label is requested most."""
    weights = list(accumulate(rank**-exponent for rank in range(1, len(labels) + 1)))
    return lambda source: source.choices(labels, cum_weights=weights)[0]


def in_order(labels: Sequence[str]) -> DrawLabel:
    """The labels one after the other, as listed."""
    rest = iter(labels)
    return lambda source: next(rest)


def churn(labels: Sequence[str], *, alive: int, posts: int, seed: int) -> list[str]:
    """Labels that arrive and vanish: each is requested `posts` times and never again; `alive` labels live at a time.

    The posts of the living labels are mixed at random; after the last post of one, the next label arrives.
    """
    source = random.Random(seed)
    left = {label: posts for label in labels[:alive]}
    coming = iter(labels[alive:])
    drawn: list[str] = []
    while left:
        label = source.choice(list(left))
        drawn.append(label)
        left[label] -= 1
        if not left[label]:
            del left[label]
            if (arrived := next(coming, None)) is not None:
                left[arrived] = posts
    return drawn


def bulk(labels: Sequence[str], *, seed: int) -> list[str]:
    """The order in which a backlog's labels are posted, each with all of its jobs."""
    return random.Random(seed).sample(labels, len(labels))
