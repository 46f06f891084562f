"""The batcher: every item its own outcome, in order, within the limits, and nobody waits for company."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aio.batching import Batcher

Item = tuple[int, int, str | None]
"""Number, size, key."""


@given(
    st.lists(st.tuples(st.integers(0, 60), st.none() | st.sampled_from("ab"), st.booleans()), max_size=60),
    st.integers(1, 10),
    st.integers(20, 100),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_every_item_has_its_own_outcome(
    plan: list[tuple[int, str | None, bool]], max_items: int, max_bytes: int, concurrency: int, patient: int
) -> None:
    calls: list[list[Item]] = []
    running = 0

    async def send(batch: list[Item]) -> Sequence[int | BaseException]:
        nonlocal running
        running += 1
        assert running <= concurrency
        calls.append(batch)
        for _ in range(len(batch) % 3):
            await asyncio.sleep(0)
        running -= 1
        return [ValueError(item[0]) if plan[item[0]][2] else item[0] for item in batch]

    async def run() -> list[int | BaseException]:
        batcher: Batcher[Item, int] = Batcher(
            send,
            max_items=max_items,
            max_bytes=max_bytes,
            size_of=lambda item: item[1],
            key_of=lambda item: item[2],
            concurrency=concurrency,
        )
        items = [(number, size, key) for number, (size, key, _) in enumerate(plan)]
        submits = (batcher.submit(item, patient=item[0] % 4 < patient) for item in items)
        return await asyncio.gather(*submits, return_exceptions=True)

    outcomes = asyncio.run(run())
    for number, outcome in enumerate(outcomes):
        if plan[number][2]:
            assert isinstance(outcome, ValueError)
            assert outcome.args == (number,)
        else:
            assert outcome == number
    sent = [item for call in calls for item in call]
    assert sorted(item[0] for item in sent) == list(range(len(plan)))
    for key in (None, "a", "b"):
        numbers = [item[0] for item in sent if item[2] == key]
        assert numbers == sorted(numbers)
    for call in calls:
        assert 1 <= len(call) <= max_items
        assert len(call) == 1 or sum(item[1] for item in call) <= max_bytes
        keys = [item[2] for item in call if item[2] is not None]
        assert len(keys) == len(set(keys))


async def test_lone_item_leaves_at_once_and_company_gathers_meanwhile() -> None:
    calls: list[list[int]] = []
    left, answer = asyncio.Event(), asyncio.Event()

    async def send(batch: list[int]) -> list[int]:
        calls.append(batch)
        left.set()
        await answer.wait()
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=10)
    first = asyncio.create_task(batcher.submit(0))
    await left.wait()
    others = [asyncio.create_task(batcher.submit(n)) for n in range(1, 8)]
    await asyncio.sleep(0)
    answer.set()
    assert await asyncio.gather(first, *others) == list(range(8))
    assert calls == [[0], list(range(1, 8))]


async def test_failed_call_fails_its_items_and_no_others() -> None:
    async def send(batch: list[int]) -> list[int]:
        if 0 in batch:
            raise OSError("no")
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=2)
    outcomes = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError, int, int]


async def test_item_whose_caller_left_is_not_sent() -> None:
    calls: list[list[int]] = []

    async def send(batch: list[int]) -> list[int]:
        calls.append(batch)
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=1)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert calls == [[0], [2]]
    assert isinstance(outcomes[1], asyncio.CancelledError)


class Body:
    """Something large."""


async def test_what_was_submitted_by_callers_who_left_is_not_held_while_the_call_ahead_hangs() -> None:
    calls: list[int] = []
    answer = asyncio.Event()

    async def send(batch: list[Body]) -> list[None]:
        calls.append(len(batch))
        await answer.wait()
        return [None] * len(batch)

    batcher: Batcher[Body, None] = Batcher(send, max_items=10)
    first = asyncio.create_task(batcher.submit(Body()))
    await asyncio.sleep(0)
    bodies = [Body() for _ in range(5)]
    held = [weakref.ref(body) for body in bodies]
    callers = [asyncio.create_task(batcher.submit(body)) for body in bodies]
    await asyncio.sleep(0)
    del bodies
    for caller in callers[1:4]:
        caller.cancel()
    await asyncio.wait(callers[1:4])
    del caller, callers[1:4]
    gc.collect()
    assert [body() is not None for body in held] == [True, False, False, False, True]
    answer.set()
    await asyncio.gather(first, *callers)
    assert calls == [1, 2]


async def test_close_waits_for_what_was_submitted() -> None:
    done: list[int] = []

    async def send(batch: list[int]) -> list[int]:
        await asyncio.sleep(0)
        done.extend(batch)
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=2)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
    await asyncio.sleep(0)
    await batcher.close()
    assert done == list(range(5))
    assert await asyncio.gather(*tasks) == done


async def test_wrong_answer_for_a_whole_call_is_raised() -> None:
    async def send(batch: list[int]) -> list[int]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await Batcher(send, max_items=2).submit(1)


async def test_patient_items_leave_with_the_first_that_is_not() -> None:
    calls: list[list[int]] = []

    async def send(batch: list[int]) -> list[int]:
        calls.append(batch)
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=10)
    patient = [asyncio.ensure_future(batcher.submit(number, patient=True)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls == []
    await batcher.submit(3)
    assert await asyncio.gather(*patient) == [0, 1, 2]
    assert calls == [[0, 1, 2, 3]]


async def test_patient_items_leave_after_a_while_and_when_a_batch_is_full() -> None:
    calls: list[list[int]] = []

    async def send(batch: list[int]) -> list[int]:
        calls.append(batch)
        return batch

    batcher: Batcher[int, int] = Batcher(send, max_items=2)
    assert await batcher.submit(0, patient=True) == 0
    await asyncio.gather(*(batcher.submit(number, patient=True) for number in range(4)))
    assert [len(call) for call in calls] == [1, 2, 2]
