"""The simulation's AWS does what the library expects of AWS, and its clock and its fleet can be relied on."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.bound import lru_misses
from benchmarks.simulation import clock
from benchmarks.simulation.arrivals import steady
from benchmarks.simulation.aws.account import Account
from benchmarks.simulation.aws.queues import Message, Queue
from benchmarks.simulation.labels import names, zipf
from benchmarks.simulation.simulate.backend import Durations
from benchmarks.simulation.simulate.cases import Case, Outcome
from benchmarks.simulation.simulate.experiment import simulate
from benchmarks.simulation.simulate.fleet import SimulatedFleet
from inference_engine.aws.provision import provision
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.settings import Settings
from tests.aws import test_queues
from tests.fleet import test_load_requests, test_registry
from tests.jobs import test_records


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    settings = Settings(prefix="simulated", visibility_timeout_seconds=30, host_cache_seconds=1)
    deployment, connection = Account().connect(settings)
    await provision(deployment.transport, settings)
    yield deployment
    assert connection.calls
    await deployment.close()


def _expectations() -> dict[str, Callable[..., Any]]:
    """The integration tests that need nothing but AWS."""
    found = {}
    for module in (test_records, test_load_requests, test_queues, test_registry):
        for name, test in inspect.getmembers(module, inspect.iscoroutinefunction):
            needs = inspect.signature(test).parameters
            if name.startswith("test_") and "deployment" in needs and "aws_environment" not in needs:
                found[f"test_as_{module.__name__.rpartition('_')[2]}{name.removeprefix('test')}"] = test
    return found


# They are collected here again, with this module's `deployment`.
globals().update(_expectations())


def test_expectations_are_not_lost() -> None:
    assert len(_expectations()) >= 30


def test_time_passes_without_waiting() -> None:
    async def hours() -> tuple[float, float]:
        before = time.time(), time.monotonic()
        await asyncio.gather(*(asyncio.sleep(index * 3600) for index in range(100)))
        return time.time() - before[0], time.monotonic() - before[1]

    real = time.monotonic()
    assert clock.run(hours()) == pytest.approx((99 * 3600, 99 * 3600), abs=0.01)
    assert time.monotonic() - real < 3600


def test_deadlock_is_an_error() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(clock.DeadlockError):
        clock.run(stuck())


def test_plans_and_coroutines_share_a_clock() -> None:
    times = clock.Clock()
    seen: list[tuple[str, float]] = []
    times.every(2.0, lambda: seen.append(("plan", times.now)))

    async def story() -> None:
        planned = asyncio.Event()
        times.at(5.0, planned.set)
        await asyncio.sleep(3.0)
        seen.append(("coroutine", time.monotonic()))
        await planned.wait()
        seen.append(("coroutine", time.monotonic()))

    clock.run(story(), clock=times)
    assert [(who, round(at, 3)) for who, at in seen] == [("plan", 2), ("coroutine", 3), ("plan", 4), ("coroutine", 5)]


def test_ids_repeat_with_the_seed() -> None:
    async def ids() -> list[uuid.UUID]:
        return [uuid.uuid4() for _ in range(3)]

    assert clock.run(ids(), seed=1) == clock.run(ids(), seed=1) != clock.run(ids(), seed=2)


def _bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def test_groups_lock_and_come_back_in_order() -> None:
    async def story() -> None:
        queue = Queue("q.fifo", {})
        for number in range(12):
            queue.send(f"a{number}", "a", f"a{number}")
        queue.send("b0", "b", "b0")
        first = await queue.receive(10, 0, 30)
        receipts = [message.receipt for message in first]
        assert _bodies(first) == [f"a{number}" for number in range(10)]
        assert _bodies(await queue.receive(10, 0, 1)) == ["b0"], "the rest of group a is locked"
        assert (queue.visible, queue.in_flight) == (2, 11)
        assert queue.delete(receipts[0])
        assert queue.hide(receipts[2], 0)
        assert await queue.receive(10, 0, 30) == [], "one that came back waits for the others of its group"
        assert _bodies(await queue.receive(10, 20, 30)) == ["b0"], "a long poll ends when a message becomes visible"
        await asyncio.sleep(30)
        assert _bodies(await queue.receive(10, 0, 30)) == [*(f"a{number}" for number in range(1, 11))]
        assert not queue.delete(receipts[1]), "its visibility timeout is over"

    clock.run(story())


def test_deduplication_ends_after_five_minutes() -> None:
    async def story() -> None:
        queue = Queue("q.fifo", {})
        first = queue.send("x", "g", "same")
        assert queue.send("y", "g", "same") == first
        assert queue.send("y", "other group", "same") != first
        [message, *_] = await queue.receive(10, 0, 30)
        queue.delete(message.receipt)
        await asyncio.sleep(299)
        assert queue.send("y", "g", "same") == first, "also after the message was deleted"
        await asyncio.sleep(2)
        assert queue.send("y", "g", "same") != first

    clock.run(story())


def test_message_received_too_often_is_dead() -> None:
    async def story() -> None:
        queue = Queue("q.fifo", {})
        queue.dead_letters, queue.max_receive_count = Queue("dead.fifo", {}), 2
        queue.send("x", "g", "x")
        for _ in range(2):
            [message] = await queue.receive(10, 0, 0)
            await asyncio.sleep(0.1)
        assert await queue.receive(10, 0, 0) == []
        assert _bodies(await queue.dead_letters.receive(10, 0, 0)) == ["x"]
        assert queue.visible == queue.in_flight == 0
        assert message.receive_count == 2

    clock.run(story())


def test_waiting_polls_are_served_at_once_and_in_turn() -> None:
    async def story() -> None:
        queue = Queue("q.fifo", {})
        polls = [asyncio.create_task(queue.receive(1, 20, 30)) for _ in range(3)]
        await asyncio.sleep(5)
        for number in range(2):
            queue.send(str(number), f"g{number}", "x")
        queue.offer()
        assert [_bodies(messages) for messages in await asyncio.gather(*polls)] == [["0"], ["1"], []]
        assert time.monotonic() == pytest.approx(20, abs=0.01), "the last one waits its whole time"

    clock.run(story())


def test_nothing_reaches_or_leaves_a_dead_process() -> None:
    async def story() -> None:
        account = Account()
        settings = Settings(prefix="simulated")
        deployment, connection = account.connect(settings)
        await provision(deployment.transport, settings)
        url = await deployment.queues.of_label("a")
        poll = asyncio.create_task(deployment.queues.receive(url, wait_seconds=20, visibility_seconds=30))
        await asyncio.sleep(1)
        connection.cut()
        with pytest.raises(asyncio.CancelledError):
            await connection.call("sqs", "get_queue_url", QueueName=url)
        with pytest.raises(asyncio.CancelledError):
            await poll

    clock.run(story())


async def test_batches_that_name_an_item_twice_are_refused(deployment: Deployment) -> None:
    key = {"message_id": {"S": "x"}}
    table = deployment.settings.jobs_table
    with pytest.raises(TransportError, match="ValidationException"):
        await deployment.transport.call("dynamodb", "batch_get_item", RequestItems={table: {"Keys": [key, key]}})
    statement = {"Statement": f"INSERT INTO \"{table}\" VALUE {{'message_id': ?}}", "Parameters": [{"S": "x"}]}
    with pytest.raises(TransportError, match="ValidationException"):
        await deployment.transport.call("dynamodb", "batch_execute_statement", Statements=[statement, statement])


def test_lru_bound() -> None:
    assert lru_misses("abcabc", 3) == 3
    assert lru_misses("abcabc", 2) == 6
    assert lru_misses("aabbaac", 2) == 3


def test_arrivals_are_zipf() -> None:
    labels = names(50)
    arrivals = steady(zipf(labels), per_second=100, seconds=100, seed=3)
    assert arrivals == steady(zipf(labels), per_second=100, seconds=100, seed=3)
    assert [one.at for one in arrivals] == sorted(one.at for one in arrivals)
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    counts = [sum(one.label == labels[rank] for one in arrivals) for rank in (0, 3)]
    assert counts[0] == pytest.approx(4 * counts[1], rel=0.2)


def test_every_consumer_has_its_cell() -> None:
    fleet = SimulatedFleet(consumers=120, slots=3, durations=Durations())
    assert [fleet.settings(cell).cell for cell in range(fleet.cells)] == [0, 1, 2]
    assert fleet.settings().cells == 3


_SMALL = Case("small", consumers=4, labels=12, seconds=30)


def _counted(outcome: Outcome) -> Outcome:
    """What must be the same in each run."""
    return replace(outcome, wall_seconds=0, cpu_seconds=0, deciding_seconds=0)


def test_simulation_repeats() -> None:
    outcome = simulate(_SMALL)
    assert _counted(simulate(_SMALL)) == _counted(outcome)
    assert outcome.posts == outcome.results > 30
    assert outcome.misses == outcome.bound == outcome.distinct <= 12, "as many slots as labels: each is loaded once"


def test_simulation_with_deaths_loses_no_job() -> None:
    outcome = simulate(replace(_SMALL, deaths=2))
    assert outcome.lost == 0
    assert outcome.wait(1) > 30 > outcome.wait(0.5), "jobs of the dead wait for their lease and visibility timeout"
