"""Consumers in this process against the emulator: routing, outcomes, failures to load, payloads."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest

from inference_engine import (
    AsyncConsumer,
    AsyncProducer,
    Consumer,
    DynamoDBClient,
    Producer,
    ResultStatus,
    Settings,
    UnretryableError,
)
from inference_engine.backends.base import LoadedModel, Work
from inference_engine.backends.function import FunctionBackend
from inference_engine.consumer import rebalancing
from inference_engine.deployment import Deployment
from inference_engine.errors import ModelLoadError, NotProvisionedError, SettingsError
from inference_engine.fleet.view import LabelSettings, ModelSignature
from tests.support.waiting import HANG_SECONDS


def echo(body: Any, message_id: str) -> Any:
    return body


def settled(settings: Settings, **more: Any) -> Settings:
    """The same, of a fleet whose consumers lose their labels to nobody, be they ever so slow."""
    return settings.model_copy(update={"lease_seconds": HANG_SECONDS, "turn_min_seconds": HANG_SECONDS} | more)


@asynccontextmanager
async def fleet(
    settings: Settings, *consumers: dict[str, Any]
) -> AsyncIterator[tuple[AsyncProducer, list[AsyncConsumer]]]:
    started = [AsyncConsumer(settings, **options) for options in consumers]
    async with AsyncProducer(settings, timeout_seconds=60) as producer:
        await asyncio.gather(*(consumer.start() for consumer in started))
        try:
            yield producer, started
        finally:
            await asyncio.gather(*(consumer.stop() for consumer in started))


def misses(consumers: list[AsyncConsumer]) -> int:
    return sum(counts.misses for consumer in consumers for counts in consumer.metrics.labels.values())


async def collect(producer: AsyncProducer, ids: list[str]) -> Counter[str]:
    responses = [response async for response in producer.as_completed(ids, timeout_seconds=400)]
    assert len({response.message_id for response in responses}) == len(ids) == len(responses)
    return Counter(response.status.value for response in responses)


async def test_labels_up_to_the_slots_cost_exactly_one_miss_each(settings: Settings) -> None:
    two = {"compute_result": echo, "max_labels": 2}
    # Nobody evicts for a label as long as somebody has room for it.
    settings = settled(settings, placement_idle_seconds=HANG_SECONDS)
    async with fleet(settings, two, two) as (producer, consumers):
        ids: list[str] = []
        for n in range(100):
            posts = (producer.post_non_blocking({"n": n}, label) for label in ("a", "b", "c", "d"))
            ids += await asyncio.gather(*posts)
        assert await collect(producer, ids) == {"SUCCESS": 400}
        assert misses(consumers) == 4


async def test_a_bulk_over_more_labels_than_slots_costs_about_one_miss_a_label(settings: Settings) -> None:
    posted = asyncio.Event()

    async def compute(body: Any, message_id: str) -> Any:
        # A label of which nothing waits yet has not had its turn.
        await posted.wait()
        return body

    two = {"compute_result": compute, "max_labels": 2}
    async with fleet(settled(settings), two, two) as (producer, consumers):
        posts = (producer.post_many([{"n": n} for n in range(400)], f"bulk-{label}") for label in range(5))
        ids = [message_id for some in await asyncio.gather(*posts) for message_id in some]
        posted.set()
        assert await collect(producer, ids) == {"SUCCESS": 2000}
        assert misses(consumers) <= 6


async def test_every_outcome_reaches_its_caller(settings: Settings) -> None:
    async def compute(body: dict[str, Any], message_id: str) -> Any:
        match body["do"]:
            case "fail":
                raise ValueError("always")
            case "never":
                raise UnretryableError("not this one")
            case "listed":
                raise KeyError("listed")
            case "unsendable":
                return {1, 2}
        return message_id

    async with fleet(settings, {"compute_result": compute, "unretryable": (KeyError,)}) as (producer, _):
        good, failing, never, listed, unsendable, late = await asyncio.gather(
            producer.post({"do": "good"}, "m", request_id="mine"),
            producer.post({"do": "fail"}, "m-failing"),
            producer.post({"do": "never"}, "m"),
            producer.post({"do": "listed"}, "m"),
            producer.post({"do": "unsendable"}, "m"),
            producer.post({"do": "good"}, "m", deadline=time.time() - 1),
        )
    assert (good.status_code, good.result, good.request_id) == (200, good.message_id, "mine")
    assert (failing.status, failing.status_code, str(failing.error)) == (ResultStatus.ERROR, 500, "ValueError: always")
    assert str(never.error) == "UnretryableError: not this one"
    assert listed.error is not None
    assert listed.error.type == "KeyError"
    assert unsendable.error is not None
    assert unsendable.error.type == "EncodeError"
    assert late.status is ResultStatus.EXPIRED


async def test_an_error_is_retried_until_it_goes_well(settings: Settings) -> None:
    tries = Counter[str]()

    def compute(body: Any, message_id: str) -> int:
        tries[message_id] += 1
        if tries[message_id] < 3:
            raise ConnectionError("not yet")
        return tries[message_id]

    async with fleet(settings, {"compute_result": compute}) as (producer, _):
        assert (await producer.post(None, "flaky")).result == 3


async def test_a_cancelled_job_is_not_computed_and_a_running_one_keeps_no_result(settings: Settings) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()
    computed: list[Any] = []

    async def compute(body: Any, message_id: str) -> Any:
        computed.append(body)
        running.set()
        await go_on.wait()
        return body

    async with AsyncProducer(settings) as producer:
        waiting = await producer.post_non_blocking("waiting", "m")
        assert await producer.cancel(waiting)
        async with AsyncConsumer(settings, compute_result=compute):
            started = await producer.post_non_blocking("started", "m")
            await asyncio.wait_for(running.wait(), HANG_SECONDS)
            assert await producer.cancel(started)
            go_on.set()
            assert (await producer.post("last", "m")).result == "last"
        assert computed == ["started", "last"]
        for message_id in (waiting, started):
            assert (await producer.retrieve_result(message_id)).status is ResultStatus.CANCELLED


class OneBadModel(FunctionBackend):
    """Loads every label but `bad`."""

    def __init__(self) -> None:
        super().__init__(echo)
        self.tries = 0

    async def load(self, label: str) -> LoadedModel:
        if label == "bad":
            self.tries += 1
            raise ModelLoadError("model 'bad' has no weights")
        return await super().load(label)


async def test_jobs_of_a_model_that_cannot_be_loaded_fail_with_the_reason_and_others_go_on(settings: Settings) -> None:
    backends = [OneBadModel(), OneBadModel()]
    async with fleet(settings, *({"backend": backend} for backend in backends)) as (producer, _):
        bad = [await producer.post_non_blocking(n, "bad") for n in range(12)]
        good = await producer.post_many(range(12), "good")
        assert await collect(producer, good) == {"SUCCESS": 12}
        assert await collect(producer, bad) == {"ERROR": 12}
        error = (await producer.retrieve_result(bad[0])).error
        assert error is not None
        assert "has no weights" in error.message
    assert sum(backend.tries for backend in backends) == settings.max_load_tries


async def test_payloads_of_all_kinds_arrive_as_they_were_sent(settings: Settings) -> None:
    picture = np.random.default_rng(1).random((3, 224, 224), dtype=np.float32)
    bodies: list[Any] = [
        "x" * 5_000_000,
        "ünï-\N{SNOWMAN}-\U0001f600\x00",
        "",
        None,
        {"a": [{"b": {"c": [1, None, True]}}]},
    ]
    async with fleet(settings, {"compute_result": echo}) as (producer, _):
        for body in bodies:
            assert (await producer.post(body, "m")).result == body
        back = (await producer.post({"image": picture}, "m")).result["image"]
        np.testing.assert_array_equal(back, picture)
        assert back.dtype == picture.dtype


async def test_a_label_with_lanes_is_shared_by_consumers_and_loses_nothing(settings: Settings) -> None:
    deployment = Deployment.for_consumer(settings)
    await deployment.registry.set_label(LabelSettings(label="wide", lanes=4))
    await deployment.close()
    async with fleet(settings, {"compute_result": echo}, {"compute_result": echo}) as (producer, _):
        ids = await producer.post_many(range(500), "wide")
        assert await collect(producer, ids) == {"SUCCESS": 500}


async def test_a_consumer_with_too_much_to_do_leaves_a_label_to_one_that_rests(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when autoscaling starts a task: labels that nobody needs to load again would stay where they are."""
    monkeypatch.setattr(rebalancing, "OFFLOAD_SECONDS", 0.2)
    monkeypatch.setattr(rebalancing, "OVERLOADED_SECONDS", 0.5)
    settings = settings.model_copy(update={"turn_min_seconds": 0.2, "max_in_flight": 1})
    relieved = asyncio.Event()
    ids: list[str] = []

    async def slowly(body: Any, message_id: str) -> Any:
        await asyncio.sleep(0.1)
        return body

    async def relieving(body: Any, message_id: str) -> Any:
        relieved.set()
        return body

    async def post(producer: AsyncProducer) -> None:
        """Two batches, until their first jobs have ended: of each label, most of one waits all the time."""
        for label in ("red", "blue"):
            ids.extend(await producer.post_many(range(20), label))
        await asyncio.gather(producer.wait(ids[-20]), producer.wait(ids[-40]))

    async with (
        AsyncProducer(settings, timeout_seconds=HANG_SECONDS) as producer,
        AsyncConsumer(settings, compute_result=slowly) as first,
    ):
        # Both labels are loaded, and what their jobs cost is known.
        await post(producer)
        async with AsyncConsumer(settings, compute_result=relieving) as second:
            while not relieved.is_set():
                await post(producer)
            assert await collect(producer, ids) == {"SUCCESS": len(ids)}
            assert misses([second]) == 1
            assert misses([first]) == 2
            assert sum(counts.jobs for counts in second.metrics.labels.values()) > 10


@pytest.mark.acceptance
async def test_a_thousand_labels_can_be_created_and_used(settings: Settings) -> None:
    async with fleet(settings, *({"compute_result": echo, "max_labels": 100} for _ in range(3))) as (
        producer,
        consumers,
    ):
        ids = await asyncio.gather(*(producer.post_non_blocking(n, f"label-{n}") for n in range(1000)))
        assert await collect(producer, list(ids)) == {"SUCCESS": 1000}
        # More labels than slots: one that comes late may find its label just evicted.
        assert 1000 <= misses(consumers) <= 1050


async def test_the_http_port_tells_health_readiness_and_counts(settings: Settings) -> None:
    async with (
        fleet(settings, {"compute_result": echo, "http_port": 0}) as (producer, [consumer]),
        aiohttp.ClientSession(f"http://127.0.0.1:{consumer.http_port}") as http,
    ):
        await producer.post(1, "m")
        assert (await http.get("/healthz")).status == 200
        assert (await http.get("/readyz")).status == 200
        async with asyncio.timeout(HANG_SECONDS):
            # The result is there before its message is deleted, and until then the consumer is busy.
            while await (await http.get("/busy")).json() != {"busy": False}:
                pass
        assert (
            'inference_engine_jobs_total{label="m",status="SUCCESS"} 1.0' in await (await http.get("/metrics")).text()
        )
        stats = await (await http.get("/stats")).json()
        assert (stats["labels"]["m"]["jobs"], stats["labels"]["m"]["misses"]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "word"),
    [({}, "compute_result"), ({"compute_result": echo, "max_labels": 0}, "max_labels=0")],
)
def test_a_consumer_without_sense_is_refused_at_once(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        Consumer(**options)


async def test_a_consumer_without_its_tables_says_so_and_leaves_nothing_open(settings: Settings) -> None:
    lost = settings.model_copy(update={"registry_table": "no-such-table"})
    with pytest.raises(NotProvisionedError, match="no-such-table"):
        await AsyncConsumer(lost, compute_result=echo).start()


@pytest.mark.parametrize("first", [False, True], ids=["by keyword", "first"])
def test_the_single_queue_api_works_as_it_always_did(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    # That API takes no settings, and a consumer that stops waits for its polls.
    monkeypatch.setenv("INFERENCE_ENGINE_WAIT_TIME_SECONDS", "1")

    def your_function(body: dict[str, int], message_id: str) -> dict[str, int]:
        return {"answer": body["number"] + 38}

    async def create() -> None:
        deployment = Deployment.for_consumer(settings)
        await deployment.transport.call(
            "sqs", "create_queue", QueueName=f"{settings.prefix}-one.fifo", Attributes={"FifoQueue": "true"}
        )
        await deployment.close()

    asyncio.run(create())
    queue, table = f"{settings.prefix}-one.fifo", DynamoDBClient(table=settings.jobs_table)
    if first:
        consumer = Consumer(queue, ddb_client=table, compute_result=your_function)
        producer = Producer(queue, ddb_client=table)
    else:
        consumer = Consumer(queue_name=queue, ddb_client=table, compute_result=your_function)
        producer = Producer(queue_name=queue, ddb_client=table)
    consumer.start_consuming()
    try:
        id_ = producer.post_non_blocking({"number": 4})
        until = time.monotonic() + 60
        while producer.retrieve_result_status(id_) is not ResultStatus.SUCCESS:
            assert time.monotonic() < until
        assert producer.retrieve_result(id_).result == {"answer": 42}
        assert producer.post({"number": 4}).result == {"answer": 42}
    finally:
        producer.close()
        consumer.stop_consuming()


class NeverThere(FunctionBackend):
    """A backend whose start waits for ever."""

    def __init__(self) -> None:
        super().__init__(echo)
        self.begun, self.closed = threading.Event(), threading.Event()

    async def start(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        await super().close()
        self.closed.set()


def test_a_signal_handler_may_stop_what_still_starts(settings: Settings) -> None:
    backend = NeverThere()
    consumer = Consumer(settings, backend=backend)
    stopped: list[bool] = []

    def handler(*_: object) -> None:
        consumer.stop_consuming()
        stopped.append(backend.closed.is_set())

    def interrupt() -> None:
        backend.begun.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        interrupting = threading.Thread(target=interrupt, daemon=True)
        interrupting.start()
        consumer.start_consuming()
        interrupting.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert stopped == [True]
    assert consumer.http_port is None
    consumer.stop_consuming()


async def test_another_thread_may_stop_what_still_starts(settings: Settings) -> None:
    backend = NeverThere()
    consumer = Consumer(settings, backend=backend)
    start = asyncio.create_task(asyncio.to_thread(consumer.start_consuming))
    await asyncio.to_thread(backend.begun.wait)
    await asyncio.to_thread(consumer.stop_consuming)
    assert backend.closed.is_set()
    await asyncio.wait_for(start, HANG_SECONDS)


def test_ctrl_c_ends_a_start(settings: Settings) -> None:
    backend = NeverThere()
    consumer = Consumer(settings, backend=backend)

    def interrupt() -> None:
        backend.begun.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        consumer.start_consuming()
    assert backend.closed.is_set()


def test_a_start_that_fails_is_told_and_may_be_repeated(settings: Settings) -> None:
    consumer = Consumer(settings.model_copy(update={"registry_table": "no-such-table"}), compute_result=echo)
    for _ in range(2):
        with pytest.raises(NotProvisionedError, match="no-such-table"):
            consumer.start_consuming()
    consumer.stop_consuming()


async def test_function_backend_calls_hooks_and_passes_the_label() -> None:
    calls: list[str] = []
    backend = FunctionBackend(
        lambda body, message_id, label: (body, message_id, label),
        load=lambda label: calls.append(f"load {label}") or 7,  # type: ignore[func-returns-value]
        unload=lambda label: calls.append(f"unload {label}"),
    )
    assert await backend.load("m") == LoadedModel("m", 7, ModelSignature(label="m", platform="python_function"))
    assert await backend.infer(Work("id", "m", 1)) == (1, "id", "m")
    await backend.unload("m")
    assert calls == ["load m", "unload m"]
    await backend.close()
