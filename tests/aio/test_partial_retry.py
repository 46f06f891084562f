"""Batches of which a part is refused: only that part is sent again, and every item has its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aio.partial_retry import Again, send_all


class Service:
    """Refuses each item as often as `refusals` says; notes the batches and the waits between them."""

    def __init__(self, refusals: Sequence[int]) -> None:
        self.left = list(refusals)
        self.batches: list[list[int]] = []
        self.waits: list[float] = []

    async def send(self, batch: list[int]) -> list[str | Again[str]]:
        self.batches.append(batch)
        return [self._answer(number) for number in batch]

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _answer(self, number: int) -> str | Again[str]:
        self.left[number] -= 1
        return f"sent {number}" if self.left[number] < 0 else Again(f"refused {number}")


@given(st.lists(st.integers(0, 12), max_size=25), st.none() | st.integers(1, 10))
def test_what_is_refused_is_sent_again_alone_and_in_order(refusals: list[int], tries: int | None) -> None:
    service = Service(refusals)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncio.sleep", service.sleep)
        outcomes = asyncio.run(send_all(range(len(refusals)), service.send, tries=tries))
    for number, refused in enumerate(refusals):
        sent = tries is None or refused < tries
        assert outcomes[number] == f"{'sent' if sent else 'refused'} {number}"
    for turn, batch in enumerate(service.batches):
        assert batch == [number for number, refused in enumerate(refusals) if refused >= turn]
    assert len(service.waits) == len(service.batches) - 1
    assert tries is None or len(service.batches) <= tries
    assert service.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4, 6.4, 6.4, 6.4][: len(service.waits)]


async def test_an_error_of_the_request_itself_ends_the_tries() -> None:
    async def fail(batch: list[int]) -> list[int | Again[int]]:
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        await send_all([1], fail)
