"""One look-up for all who ask: who begins it, who ends it, what is kept of it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aio.single_flight import SingleFlight, SingleFlightGroup
from inference_engine.errors import TransportError


class Source:
    """Tells the number of the look-up, once it may; or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.failure: Exception | None = None
        self.begun = asyncio.Event()
        self.answers = asyncio.Event()

    async def read(self) -> int:
        self.asked += 1
        self.begun.set()
        number = self.asked
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number


async def impatient(shared: SingleFlight[int]) -> None:
    """One who asks, and leaves while the look-up is under way."""
    caller = asyncio.create_task(shared.get(60))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()


async def test_a_caller_who_leaves_does_not_end_what_another_waits_for() -> None:
    source = Source()
    shared = SingleFlight(source.read)
    patient = asyncio.create_task(shared.get(60))
    await impatient(shared)
    source.answers.set()
    assert await patient == 1
    assert (source.asked, source.cancelled) == (1, 0)


async def test_callers_who_all_leave_begin_one_look_up_and_find_its_value_when_they_come_again() -> None:
    source = Source()
    shared = SingleFlight(source.read)
    for _ in range(5):
        await impatient(shared)
    assert (source.asked, source.cancelled) == (1, 0)
    source.answers.set()
    await asyncio.wait([shared.begin()])
    assert await shared.get(60) == 1
    assert source.asked == 1


async def test_a_value_is_as_old_as_who_asks_allows() -> None:
    source = Source()
    source.answers.set()
    shared = SingleFlight(source.read)
    assert shared.age_seconds == float("inf")
    assert [await shared.get(60), await shared.get(60), await shared.get(0), shared.value] == [1, 1, 2, 2]
    assert shared.age_seconds < 60


async def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    source = Source()
    shared = SingleFlight(source.read)
    source.answers.set()
    assert await shared.get(0) == 1
    source.failure = OSError("no answer")
    told = await asyncio.gather(*(shared.get(0) for _ in range(2)), return_exceptions=True)
    assert told == [source.failure] * 2
    assert (source.asked, shared.value, await shared.get(60)) == (2, 1, 1)
    source.failure = None
    assert await shared.get(0) == 3


async def test_a_failure_that_nobody_waits_for_any_more_is_no_news() -> None:
    source = Source()
    source.failure = OSError("no answer")
    shared = SingleFlight(source.read)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    await impatient(shared)
    reading = shared.begin()
    source.answers.set()
    await asyncio.wait([reading])
    del reading
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


async def test_closing_ends_the_look_up_and_whoever_waits_for_it() -> None:
    source = Source()
    shared = SingleFlight(source.read)
    await shared.close()
    waiting = asyncio.create_task(shared.get(60))
    await source.begun.wait()
    await shared.close()
    with pytest.raises(TransportError, match="closed"):
        await waiting
    assert source.cancelled == 1


async def test_calls_of_one_key_are_shared_and_those_of_others_are_not() -> None:
    source = Source()
    group: SingleFlightGroup[str, int] = SingleFlightGroup()
    callers = [asyncio.create_task(group.get(key, source.read)) for key in ("a", "b", "a")]
    await source.begun.wait()
    assert (len(group), "a" in group, "c" in group) == (2, True, False)
    source.answers.set()
    assert await asyncio.gather(*callers) == [1, 2, 1]
    assert len(group) == 0
    assert await group.get("a", source.read) == 3


async def test_a_call_that_is_cancelled_when_unwanted_ends_with_its_last_caller() -> None:
    source = Source()
    group: SingleFlightGroup[str, int] = SingleFlightGroup(cancel_unwanted=True)
    first, last = (asyncio.create_task(group.get("a", source.read)) for _ in range(2))
    await source.begun.wait()
    first.cancel()
    await asyncio.wait([first])
    assert (source.cancelled, "a" in group) == (0, True)
    last.cancel()
    await asyncio.wait([last])
    # Who comes now does not join a call that is about to end.
    assert "a" not in group
    source.answers.set()
    assert await group.get("a", source.read) == 2
    assert source.cancelled == 1


async def test_closing_a_group_ends_the_calls_of_all_keys() -> None:
    source = Source()
    group: SingleFlightGroup[str, int] = SingleFlightGroup()
    await group.close()
    callers = [asyncio.create_task(group.get(key, source.read)) for key in ("a", "b")]
    await source.begun.wait()
    await group.close()
    told = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in told] == [TransportError] * 2
    assert (source.cancelled, len(group)) == (2, 0)


@given(st.lists(st.sampled_from(("ask", "leave", "turn", "answer", "hang")), max_size=40))
def test_whatever_callers_do_one_look_up_is_under_way_and_none_is_ended_by_them(steps: list[str]) -> None:
    async def run() -> None:
        source = Source()
        running, most = 0, 0

        async def read() -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await source.read()
            finally:
                running -= 1

        shared = SingleFlight(read)
        callers: list[asyncio.Task[int]] = []
        left = 0
        for step in steps:
            match step:
                case "ask":
                    callers.append(asyncio.create_task(shared.get(0)))
                case "leave" if left < len(callers):
                    callers[left].cancel()
                    left += 1
                case "turn":
                    await asyncio.sleep(0)
                case "answer":
                    source.answers.set()
                case "hang":
                    source.answers.clear()
        source.answers.set()
        told = await asyncio.gather(*callers[left:])
        assert told == sorted(told)
        assert most <= 1
        assert source.cancelled == 0
        await shared.close()

    asyncio.run(run())
