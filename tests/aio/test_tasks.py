"""Tasks beside their owner: held while they run, awaited or cancelled together."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from inference_engine.aio.tasks import TaskSet


async def test_a_task_that_nobody_refers_to_runs_to_its_end() -> None:
    tasks: TaskSet[int] = TaskSet()
    waits: list[weakref.ref[asyncio.Future[int]]] = []

    async def work() -> int:
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(waiting))
        return await waiting

    tasks.start(work())
    await asyncio.sleep(0)
    # Task and future refer to each other alone, so both would be collected here.
    gc.collect()
    waiting = waits[0]()
    assert waiting is not None
    waiting.set_result(7)
    await tasks.ended()
    assert len(tasks) == 0


async def test_the_error_of_one_task_ends_no_other() -> None:
    tasks: TaskSet[int] = TaskSet()
    may_end = asyncio.Event()

    async def fail() -> int:
        raise OSError("no answer")

    async def work() -> int:
        await may_end.wait()
        return 7

    failing, working = tasks.start(fail()), tasks.start(work())
    with pytest.raises(OSError, match="no answer"):
        await failing
    assert list(tasks) == [working]
    may_end.set()
    await tasks.ended()
    assert working.result() == 7


async def test_closing_cancels_the_tasks_and_waits_for_their_ends() -> None:
    tasks: TaskSet[None] = TaskSet()
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("tidied")

    await tasks.close()
    tasks.start(work())
    await asyncio.sleep(0)
    await tasks.close()
    assert (steps, len(tasks)) == (["tidied"], 0)
