"""The watcher: few looks, every end is told, callers may come and go."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from inference_engine.jobs.job import ResultStatus
from inference_engine.jobs.record import JobRecord
from inference_engine.producer.result_poller import HEAD_MAX, HEAD_MIN, ResultPoller
from tests.support.waiting import HANG_SECONDS


class Records:
    """Records in memory; `gate` holds every look back while it is clear."""

    def __init__(self) -> None:
        self.records: dict[str, JobRecord] = {}
        self.looks: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.looked = asyncio.Event()
        self.error: Exception | None = None

    def set(self, message_id: str, status: ResultStatus = ResultStatus.SUCCESS) -> None:
        self.records[message_id] = JobRecord(message_id, "l", "r", status)

    async def get(self, message_id: str) -> JobRecord | None:
        self.looks[message_id] += 1
        self.looked.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        return self.records.get(message_id)


def watcher(records: Records) -> ResultPoller:
    return ResultPoller(records.get, min_seconds=0.001, max_seconds=0.005)


async def test_every_end_is_told() -> None:
    records = Records()
    watch = watcher(records)
    ids = [str(index) for index in range(HEAD_MAX + 2 * HEAD_MIN)]
    waits = [asyncio.create_task(watch.wait(one, f"label-{int(one) % 3}")) for one in ids]
    await records.looked.wait()
    for one in ids:
        records.set(one)
    assert [record.message_id for record in await asyncio.gather(*waits)] == ids
    await watch.close()


async def test_only_the_head_of_a_line_is_looked_at() -> None:
    records = Records()
    watch = watcher(records)
    waits = [asyncio.create_task(watch.wait(str(index), "l")) for index in range(100)]
    for _ in range(3):
        records.looked.clear()
        await records.looked.wait()
    assert set(records.looks) == {str(index) for index in range(HEAD_MIN)}
    await watch.close()
    assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waits, return_exceptions=True))


async def test_one_of_two_callers_gives_up() -> None:
    records = Records()
    watch = watcher(records)
    one, other = (asyncio.create_task(watch.wait("a", "l")) for _ in range(2))
    await records.looked.wait()
    one.cancel()
    await asyncio.wait([one])
    records.set("a")
    assert (await other).message_id == "a"
    await watch.close()


async def test_job_that_nobody_waits_for_is_not_looked_at() -> None:
    records = Records()
    watch = watcher(records)
    gone = asyncio.create_task(watch.wait("gone", "l"))
    stays = asyncio.create_task(watch.wait("stays", "l"))
    await records.looked.wait()
    gone.cancel()
    await asyncio.wait([gone])
    before = records.looks["gone"]
    records.set("gone", ResultStatus.IN_PROGRESS)
    for _ in range(3):
        records.looked.clear()
        await records.looked.wait()
    assert records.looks["gone"] == before
    records.set("stays")
    await stays
    await watch.close()


async def test_line_that_begins_anew_during_a_look_is_kept() -> None:
    records = Records()
    watch = watcher(records)
    records.gate.clear()
    first = asyncio.create_task(watch.wait("first", "l"))
    await records.looked.wait()
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(watch.wait("second", "l"))
    await asyncio.sleep(0)
    records.set("second")
    records.gate.set()
    async with asyncio.timeout(HANG_SECONDS):
        assert (await second).message_id == "second"
    await watch.close()


async def test_last_state_can_be_asked_for() -> None:
    records = Records()
    watch = watcher(records)
    records.set("a", ResultStatus.IN_PROGRESS)
    wait = asyncio.create_task(watch.wait("a", "l"))
    async with asyncio.timeout(HANG_SECONDS):
        while (seen := watch.seen("a", "l")) is None:  # noqa: ASYNC110 - nothing tells of a look
            await asyncio.sleep(0)
    assert seen.status is ResultStatus.IN_PROGRESS
    assert watch.seen("b", "l") is None
    wait.cancel()
    await asyncio.wait([wait])
    await watch.close()


async def test_failed_read_reaches_the_caller_and_the_watcher_goes_on() -> None:
    records = Records()
    watch = watcher(records)
    records.error = OSError("no")
    with pytest.raises(OSError, match="no"):
        await watch.wait("a", "l")
    records.error = None
    records.set("a")
    assert (await watch.wait("a", "l")).status is ResultStatus.SUCCESS
    await watch.close()
