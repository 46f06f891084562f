"""What the gateway does with callers, against a real deployment: rooms, refusals, bounds, labels of keys."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference_engine import AsyncConsumer, AsyncProducer, ResultStatus, Settings, UnretryableError
from inference_engine.aws import transport as session
from inference_engine.aws.transport import AioTransport, Transport
from inference_engine.deployment import Deployment
from inference_engine.errors import InvalidLabelError, ModelInputError, TransportError, UnknownLabelError
from inference_engine.fleet.registry import Registry
from inference_engine.fleet.view import ConsumerView, Fleet, LabelSettings, LabelStatistics, ModelSignature
from inference_engine.gateway.auth.caller import Caller, Context
from inference_engine.gateway.dispatch.capacity import FleetCapacity
from inference_engine.gateway.dispatch.flow_control import Room
from inference_engine.gateway.dispatch.service import Service, SharedOverview
from inference_engine.gateway.http.body_limit import Budget, Share
from inference_engine.gateway.http.problems import Problem
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.operations.activity import Activity, read_activity
from tests.support.waiting import HANG_SECONDS, eventually

ANYONE = Caller()


def context(caller: Caller = ANYONE, *, seconds: float = 30, flow: str = "/", priority: int = 0) -> Context:
    return Context(caller, priority, flow, seconds, request_id="asked")


@asynccontextmanager
async def service(settings: Settings, **overrides: Any) -> AsyncIterator[Service]:
    async with Service(Deployment.for_producer(settings), GatewaySettings(**overrides)) as made:
        yield made


@asynccontextmanager
async def consumer(settings: Settings, compute: Any, **options: Any) -> AsyncIterator[AsyncConsumer]:
    async with AsyncConsumer(settings, compute_result=compute, **options) as made:
        yield made


def echo(body: Any, message_id: str) -> Any:
    return {"echo": body}


# --- run ------------------------------------------------------------------------------------------------------------------


async def test_a_waiting_caller_gets_the_result_with_its_times(settings: Settings) -> None:
    async with consumer(settings, echo), service(settings) as gateway:
        before = time.time()
        response = await gateway.run("m", {"n": 1}, context())
        assert (response.result, response.request_id) == ({"echo": {"n": 1}}, "asked")
        assert response.submitted_at is not None
        assert response.started_at is not None
        assert response.finished_at is not None
        assert before - 1 < response.submitted_at <= response.started_at <= response.finished_at < time.time() + 1
        assert gateway.gateway_stats().outcomes["dispatched"] == 1
        assert gateway.gateway_stats().latency_ms.count == 1


async def test_what_becomes_of_a_job_is_told_by_the_status_of_its_problem(settings: Settings) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def moody(body: Any, message_id: str) -> Any:
        match body:
            case "input":
                raise ModelInputError("does not fit")
            case "final":
                raise UnretryableError("broken")
        begun.set()
        assert go_on.wait(HANG_SECONDS)
        return body

    async with consumer(settings, moody), service(settings) as gateway:
        for body, status, kind in (("input", 400, "invalid-input"), ("final", 500, "job-failed")):
            with pytest.raises(Problem) as told:
                await gateway.run("m", body, context())
            assert (told.value.status, told.value.kind) == (status, kind)
            assert told.value.members["job_status"] == "ERROR"
        for seconds in (1, 2, 4, 8, 16, 32):
            with pytest.raises(Problem) as late:
                await gateway.run("m", "slow", context(seconds=seconds))
            assert (late.value.status, late.value.kind) == (504, "timeout")
            if begun.is_set():
                break
        # The job was begun in time and goes on: who wants its result can poll.
        message_id = late.value.members["message_id"]
        go_on.set()
        async with AsyncProducer(settings) as producer:
            assert (await producer.wait(message_id)).result == "slow"
        assert (await gateway.result(message_id, context())).result == "slow"


async def test_without_a_consumer_callers_are_sent_away_and_the_message_stays_to_start_the_fleet(
    settings: Settings, deployment: Deployment
) -> None:
    async with service(settings, no_consumer_seconds=1) as gateway:
        problems = await asyncio.gather(*(gateway.run("m", n, context()) for n in range(3)), return_exceptions=True)
        assert [(problem.status, problem.kind) for problem in problems if isinstance(problem, Problem)] == [
            (503, "no-consumer")
        ] * 3
        assert all(int(problem.headers["Retry-After"]) > 0 for problem in problems if isinstance(problem, Problem))
        with pytest.raises(Problem, match=r"there was no live consumer for \d+\.\d s"):
            await gateway.run("other", 1, context())
        url = await deployment.queues.of_label("m")
        assert (await deployment.queues.backlog(url)).total == 1
        ran: list[Any] = []

        def compute(body: Any, message_id: str) -> Any:
            ran.append(body)
            return body

        async with consumer(settings, compute):
            assert (await gateway.run("m", "after", context())).result == "after"
        assert ran == ["after"]


async def test_a_consumer_that_comes_in_time_serves_all_who_wait(settings: Settings) -> None:
    async with service(settings, no_consumer_seconds=30) as gateway:
        callers = [asyncio.ensure_future(gateway.run("m", n, context())) for n in range(20)]
        await asyncio.sleep(0)
        async with consumer(settings, echo):
            assert [(await caller).result["echo"] for caller in callers] == list(range(20))


async def test_a_label_that_was_never_posted_to_is_unknown_where_queues_are_not_made(settings: Settings) -> None:
    async with service(settings.model_copy(update={"auto_create_queues": False})) as gateway:
        with pytest.raises(UnknownLabelError):
            await gateway.run("nobody", 1, context())
        with pytest.raises(UnknownLabelError):
            await gateway.submit("nobody", 1, context())
        with pytest.raises(UnknownLabelError):
            await gateway.queue_size("nobody", context())
        with pytest.raises(InvalidLabelError):
            await gateway.run(" ", 1, context())


async def test_urgent_callers_overtake_patient_ones_on_their_way_to_a_busy_label(settings: Settings) -> None:
    ran: list[Any] = []

    def compute(body: Any, message_id: str) -> Any:
        ran.append(body)
        return body

    async with consumer(settings, compute), service(settings, in_flight_per_host=1) as gateway:
        await gateway.run("m", "first", context())
        gateway.pause()
        calls = [("low 1", -1, "a"), ("low 2", -1, "a"), ("low 3", -1, "b"), ("high", 5, "a")]
        callers = [asyncio.ensure_future(gateway.run("m", n, context(priority=p, flow=f))) for n, p, f in calls]
        await asyncio.to_thread(eventually, lambda: gateway.gateway_stats().waiting == len(calls), "all wait")
        assert [band.priority for band in gateway.gateway_stats().bands] == [5, -1]
        gateway.unpause()
        await asyncio.gather(*callers)
    assert ran == ["first", "high", "low 1", "low 3", "low 2"]


async def test_a_caller_that_leaves_its_job_behind_keeps_the_label_s_place_until_the_job_ends(
    settings: Settings,
) -> None:
    go_on = threading.Event()

    def compute(body: Any, message_id: str) -> Any:
        assert go_on.wait(HANG_SECONDS)
        return body

    async with consumer(settings, compute), service(settings, in_flight_per_host=2) as gateway:
        callers = [asyncio.ensure_future(gateway.run("m", n, context())) for n in range(6)]
        await asyncio.to_thread(eventually, lambda: gateway.gateway_stats().in_flight == 2, "two are on their way")
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        stats = gateway.gateway_stats()
        assert (stats.in_flight, stats.waiting, stats.latency_ms.count) == (2, 0, 0)
        # Nobody waits: a gateway that stops need not wait either.
        async with asyncio.timeout(HANG_SECONDS):
            await gateway.emptied()
        assert gateway.gateway_stats().in_flight == 2
        go_on.set()
        await asyncio.to_thread(eventually, lambda: not gateway.gateway_stats().in_flight, "their jobs have ended")


class Hanging:
    """A way to AWS that does not answer any more, from when it is told."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answers = asyncio.Event()
        self.answers.set()
        self.closed = False

    async def call(self, service: session.Service, operation: str, **parameters: Any) -> dict[str, Any]:
        await self.answers.wait()
        return await self._transport.call(service, operation, **parameters)

    async def close(self) -> None:
        self.closed = True
        await self._transport.close()


async def test_a_caller_s_time_ends_also_where_aws_does_not_answer(settings: Settings) -> None:
    way = Hanging(AioTransport(region=settings.region))
    async with consumer(settings, echo), Service(Deployment.over(settings, way), GatewaySettings()) as gateway:
        await gateway.run("m", 1, context())
        way.answers.clear()
        for label in ("m", "another"):
            with pytest.raises(Problem) as late:
                await gateway.run(label, 2, context(seconds=0.1))
            assert (late.value.status, late.value.kind) == (504, "timeout")
        assert (gateway.gateway_stats().in_flight, gateway.gateway_stats().latency_ms.count) == (2, 3)
        way.answers.set()


async def test_connections_are_closed_also_where_aws_does_not_answer_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_engine.gateway.dispatch.service.CLOSE_SECONDS", 0.2)
    way = Hanging(AioTransport(region=settings.region))
    async with Service(Deployment.over(settings, way), GatewaySettings()) as gateway:
        await gateway.submit("m", 1, context())
        way.answers.clear()
        with pytest.raises(Problem):
            await gateway.run("m", 2, context(seconds=0.1))
    assert way.closed
    way.answers.set()
    with pytest.raises(TransportError, match="connection to AWS is closed"):
        await way.call("sqs", "list_queues")


def holds(reference: weakref.ref[Any]) -> bool:
    """Whether anything holds what is referred to."""
    gc.collect()
    return reference() is not None


def counted_body() -> tuple[Share, dict[str, Any], weakref.ref[Any]]:
    """A body, the bytes that are counted for it, and a reference that does not hold it."""
    share = Share(Budget(1000))
    share.grow(1000)
    body = {"x": np.zeros(10)}
    return share, body, weakref.ref(body["x"])


@pytest.mark.parametrize("served", [True, False])
async def test_the_body_of_a_caller_who_left_is_held_and_counted_until_its_job_is_posted(
    settings: Settings, served: bool
) -> None:
    go_on = threading.Event()

    def compute(body: Any, message_id: str) -> Any:
        assert body == "first" or go_on.wait(HANG_SECONDS)
        return "done"

    way = Hanging(AioTransport(region=settings.region))
    async with (
        consumer(settings, compute) if served else nullcontext(),
        Service(Deployment.over(settings, way), GatewaySettings()) as gateway,
    ):
        if served:
            await gateway.run("m", "first", context())
        share, body, array = counted_body()
        way.answers.clear()
        caller = asyncio.create_task(gateway.run("m", body, replace(context(), share=share)))
        del body
        await asyncio.to_thread(eventually, lambda: gateway.gateway_stats().in_flight == 1, "it is on its way")
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        del caller
        share.release()
        assert (share.held_bytes, holds(array)) == (1000, True)
        way.answers.set()
        await asyncio.to_thread(eventually, lambda: not share.held_bytes, "it is posted")
        assert (holds(array), gateway.gateway_stats().in_flight) == (False, 1)
        go_on.set()


async def test_the_body_of_who_left_a_job_to_be_polled_is_held_and_counted_until_it_is_posted(
    settings: Settings,
) -> None:
    way = Hanging(AioTransport(region=settings.region))
    async with Service(Deployment.over(settings, way), GatewaySettings()) as gateway:
        await gateway.submit("m", "first", context())
        share, body, array = counted_body()
        way.answers.clear()
        caller = asyncio.create_task(gateway.submit("m", body, replace(context(), share=share)))
        del body
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        del caller
        share.release()
        assert (share.held_bytes, holds(array)) == (1000, True)
        ended = asyncio.create_task(gateway.emptied())
        await asyncio.sleep(0)
        assert not ended.done()
        way.answers.set()
        await ended
        assert (share.held_bytes, holds(array)) == (0, False)
        # Not half a job: it has its record as well.
        assert len(await gateway.unfinished(context())) == 2


async def test_a_body_that_cannot_be_posted_does_not_count_on(settings: Settings) -> None:
    share = Share(Budget(1000))
    share.grow(1000)
    async with service(settings.model_copy(update={"auto_create_queues": False})) as gateway:
        for attempt in (gateway.run, gateway.submit):
            with pytest.raises(UnknownLabelError):
                await attempt("nobody", 1, replace(context(), share=share))
    assert share.held_bytes == 1000, "its request is not over"
    share.release()
    assert share.held_bytes == 0


@pytest.mark.parametrize("served", [True, False])
async def test_who_is_sent_away_is_told_by_what_id_its_job_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, served: bool
) -> None:
    # Not as long as the callers' own time, at whose end each would be told the same.
    monkeypatch.setattr("inference_engine.gateway.dispatch.blocking_calls.HANDOVER_SECONDS", 15.0)
    begun, go_on = threading.Event(), threading.Event()

    def compute(body: Any, message_id: str) -> Any:
        begun.set()
        assert go_on.wait(HANG_SECONDS)
        return {"echo": body}

    async with AsyncProducer(settings) as producer, consumer(settings, compute) if served else nullcontext():
        async with service(settings, in_flight_per_host=1) as gateway:
            callers = [asyncio.create_task(gateway.run("m", n, context(seconds=120))) for n in range(2)]
            await asyncio.to_thread(eventually, lambda: gateway.flow_stats().in_flight == 1, "the first has its turn")
            if served:
                await asyncio.to_thread(begun.wait, 30)
            gateway.stop()
            gateway.send_away()
            problems = await asyncio.gather(*callers, return_exceptions=True)
        first, second = (problem for problem in problems if isinstance(problem, Problem))
        assert (first.status, first.kind, first.headers) == (503, "shutting-down", {})
        message_id = first.members["message_id"]
        assert first.members["job_status"] in ("SUBMITTED", "IN_PROGRESS")
        assert f"poll GET /task/{message_id}" in first.detail
        # Who had no turn has left nothing behind, and may come again.
        assert (second.status, second.kind, second.members) == (503, "shutting-down", {})
        assert second.headers.keys() == {"Retry-After"}
        async with service(settings) as another:
            assert not (await another.result(message_id, context())).status.finished
            go_on.set()
            async with consumer(settings, compute) if not served else nullcontext():
                assert (await producer.wait(message_id)).result == {"echo": 0}
            assert (await another.result(message_id, context())).result == {"echo": 0}


async def test_who_is_sent_away_while_aws_does_not_answer_is_told_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_engine.gateway.dispatch.blocking_calls.HANDOVER_SECONDS", 0.1)
    monkeypatch.setattr("inference_engine.gateway.dispatch.service.CLOSE_SECONDS", 0.2)
    way = Hanging(AioTransport(region=settings.region))
    async with consumer(settings, echo), Service(Deployment.over(settings, way), GatewaySettings()) as gateway:
        await gateway.run("m", 1, context())
        way.answers.clear()
        caller = asyncio.create_task(gateway.run("m", 2, context()))
        await asyncio.to_thread(eventually, lambda: gateway.gateway_stats().in_flight == 1, "it is on its way")
        gateway.stop()
        gateway.send_away()
        async with asyncio.timeout(HANG_SECONDS):
            with pytest.raises(Problem) as told:
                await caller
        assert (told.value.status, told.value.kind, told.value.members) == (503, "shutting-down", {})
        assert told.value.headers["Retry-After"] == "1"
    way.answers.set()


async def test_who_waits_when_the_service_closes_is_told_so(settings: Settings) -> None:
    async with service(settings) as gateway:
        caller = asyncio.create_task(gateway.run("m", 1, context()))
        await asyncio.to_thread(eventually, lambda: gateway.gateway_stats().in_flight == 1, "it is on its way")
    with pytest.raises(Problem) as told:
        await caller
    assert (told.value.status, told.value.kind) == (503, "shutting-down")


# --- submit ---------------------------------------------------------------------------------------------------------------


async def test_a_submitted_job_is_found_cancelled_and_listed_until_it_ends(settings: Settings) -> None:
    async with service(settings) as gateway:
        kept = await gateway.submit("m", {"n": 1}, context(), keep_body=True)
        other = await gateway.submit("m", {"n": 2}, context())
        assert await gateway.unfinished(context()) == [kept, other]
        assert await gateway.queue_size("m", context()) == await gateway.queue_size(None, context()) == 2
        for message_id, inputs in ((kept, {"n": 1}), (other, None)):
            response, given = await gateway.result_and_inputs(message_id, context())
            assert (response.status, given) == (ResultStatus.SUBMITTED, inputs)
        assert await gateway.cancel(other, context())
        assert (await gateway.result(other, context())).status is ResultStatus.CANCELLED
        assert await gateway.unfinished(context()) == [kept]


async def test_a_paused_or_stopping_gateway_takes_no_jobs(settings: Settings) -> None:
    async with service(settings) as gateway:
        gateway.pause()
        with pytest.raises(Problem) as paused:
            await gateway.submit("m", 1, context())
        assert (paused.value.status, paused.value.kind) == (503, "paused")
        gateway.unpause()
        await gateway.submit("m", 1, context())
        assert gateway.ready
        gateway.stop()
        assert not gateway.ready
        with pytest.raises(Problem) as late:
            gateway.pause()
        assert (late.value.status, late.value.kind, gateway.paused) == (503, "shutting-down", False)
        for attempt in (gateway.submit("m", 1, context()), gateway.run("m", 1, context())):
            with pytest.raises(Problem) as stopping:
                await attempt
            assert (stopping.value.status, stopping.value.kind) == (503, "shutting-down")


async def test_a_caller_sees_and_uses_its_own_labels_only(settings: Settings) -> None:
    caller = Caller(key_id="k", labels=("mine-*",), operator=False)
    async with service(settings) as gateway:
        mine = await gateway.submit("mine-1", 1, context(caller))
        other = await gateway.submit("other", 1, context())
        for attempt in (gateway.run("other", 1, context(caller)), gateway.submit("other", 1, context(caller))):
            with pytest.raises(Problem) as refused:
                await attempt
            assert refused.value.status == 403
        for look in (gateway.result, gateway.result_and_inputs, gateway.cancel):
            told = []
            for message_id in (other, "nothing"):
                with pytest.raises(Problem) as unknown:
                    await look(message_id, context(caller))
                told.append(unknown.value.body() | {"id": message_id})
                assert (unknown.value.status, unknown.value.kind) == (404, "unknown-job")
                assert settings.jobs_table not in unknown.value.detail
            # Whether there is a job of another's label cannot be told.
            assert str(told[0]).replace(other, "nothing") == str(told[1])
        assert await gateway.unfinished(context(caller)) == [mine]
        assert await gateway.queue_size(None, context(caller)) == 1


# --- what the fleet can take ----------------------------------------------------------------------------------------------


def view(name: str, *loaded: str, seconds: float = 60) -> ConsumerView:
    return ConsumerView(
        consumer_id=name, lease_until=time.time() + seconds, loaded={label: LabelStatistics() for label in loaded}
    )


async def test_rooms_follow_holders_and_the_label_s_own_bound(deployment: Deployment) -> None:
    capacity = FleetCapacity(deployment, GatewaySettings(in_flight_per_host=10))
    assert capacity.room("m") == Room(1, served=False)
    capacity.fleet = Fleet((view("a", "m"), view("b", "m", "n"), view("gone", "n", seconds=-1)))
    assert capacity.room("m") == Room(20)
    assert capacity.room("n") == Room(10)
    assert capacity.room("about to be loaded") == Room(10)
    await deployment.registry.set_label(LabelSettings(label="n", max_in_flight=2))
    await capacity.fresh(0)
    assert capacity.answering
    capacity.fleet = Fleet((view("b", "n"),))
    assert capacity.room("n") == Room(4)


@pytest.mark.parametrize("error", [TransportError("no answer"), ValueError("no sense")])
async def test_what_was_read_once_is_used_while_aws_does_not_answer(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def unanswered(cells: int) -> Fleet:
        raise error

    capacity, never = FleetCapacity(deployment, GatewaySettings()), FleetCapacity(deployment, GatewaySettings())
    await capacity.fresh(0)
    assert capacity.answering
    monkeypatch.setattr(deployment.registry, "whole_fleet", unanswered)
    await capacity.fresh(0, wait_seconds=30)
    assert not capacity.answering
    assert "cannot read the registry" in caplog.text
    assert str(error) in caplog.text
    with pytest.raises(TransportError):
        await never.fresh(0)


async def test_a_fleet_that_was_read_is_known_also_where_label_settings_cannot_be_read(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unanswered() -> list[LabelSettings]:
        raise TransportError("no answer")

    monkeypatch.setattr("inference_engine.gateway.dispatch.capacity.LABELS_SECONDS", 0.0)
    await deployment.registry.set_label(LabelSettings(label="n", max_in_flight=2))
    capacity = FleetCapacity(deployment, GatewaySettings())
    await capacity.fresh(0)
    await deployment.registry.publish(view("new", "m"))
    with monkeypatch.context() as patch:
        patch.setattr(deployment.registry, "labels", unanswered)
        await capacity.fresh(0, wait_seconds=30)
    assert [one.consumer_id for one in capacity.fleet.consumers] == ["new"]
    assert (capacity.answering, set(capacity.labels)) == (True, {"n"})
    assert "cannot read label settings" in caplog.text
    await deployment.registry.set_label(LabelSettings(label="o"))
    await capacity.fresh(0, wait_seconds=30)
    assert capacity.labels.keys() == {"n", "o"}


async def test_nobody_waits_for_a_reading_that_hangs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(cells: int) -> Fleet:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    capacity = FleetCapacity(deployment, GatewaySettings())
    await capacity.fresh(0)
    monkeypatch.setattr(deployment.registry, "whole_fleet", hangs)
    async with asyncio.timeout(HANG_SECONDS):
        await capacity.fresh(0)
        await capacity.fresh(0, wait_seconds=0.01)
    assert capacity.answering
    for name in ("IDLE_READ_SECONDS", "LATE_SECONDS"):
        monkeypatch.setattr(
            f"inference_engine.gateway.dispatch.capacity.{name}", -deployment.settings.host_cache_seconds
        )
    assert not capacity.answering, "the last success is long ago"
    await capacity.close()


async def test_a_row_that_makes_no_sense_keeps_no_gateway_from_its_work(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    await deployment.registry.publish(view("sensible", "m"))
    item = {"pk": {"S": "cell#0"}, "sk": {"S": "odd"}, "row": {"S": '{"consumer_id": []}'}}
    await deployment.transport.call("dynamodb", "put_item", TableName=deployment.settings.registry_table, Item=item)
    async with service(deployment.settings) as gateway:
        assert gateway.ready
        assert [one.consumer_id for one in (await gateway.fleet()).consumers] == ["sensible"]
        assert await gateway.labels() == ["m"]
    assert "odd" in caplog.text


async def test_models_that_were_loaded_once_are_read_once_for_all_who_list_them(
    settings: Settings, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.registry.describe(ModelSignature(label="m"))
    readings = 0
    read = Registry.signatures

    async def counted(registry: Registry) -> list[ModelSignature]:
        nonlocal readings
        readings += 1
        return await read(registry)

    monkeypatch.setattr(Registry, "signatures", counted)
    async with service(settings) as gateway:
        assert await asyncio.gather(*(gateway.labels() for _ in range(10))) == [["m"]] * 10
        assert await gateway.labels() == ["m"]
    assert readings == 1


# --- the overview ---------------------------------------------------------------------------------------------------------


async def test_a_reading_is_as_old_as_who_looks_allows_by_a_clock_that_is_never_set(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0

    async def read(deployment: Deployment, *, sweep_queues: int) -> Activity:
        nonlocal readings
        readings += 1
        # As when the clock was set back by an hour after the reading.
        return replace(await read_activity(deployment, sweep_queues=sweep_queues), at=time.time() + 3600)

    monkeypatch.setattr("inference_engine.gateway.dispatch.service.read_activity", read)
    shared = SharedOverview(deployment)
    await shared.overview(0)
    await shared.overview(60)
    assert readings == 1
    await shared.overview(0)
    assert readings == 2


async def test_who_looks_and_leaves_finds_the_overview_that_was_begun(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, begun, go_on = 0, asyncio.Event(), asyncio.Event()

    async def slowly(deployment: Deployment, *, sweep_queues: int) -> Activity:
        nonlocal readings
        readings += 1
        begun.set()
        await go_on.wait()
        return await read_activity(deployment, sweep_queues=sweep_queues)

    monkeypatch.setattr("inference_engine.gateway.dispatch.service.read_activity", slowly)
    shared = SharedOverview(deployment)
    for _ in range(5):
        look = asyncio.create_task(shared.overview(60))
        await asyncio.sleep(0)
        await begun.wait()
        look.cancel()
        await asyncio.wait([look])
    look = asyncio.create_task(shared.overview(60))
    go_on.set()
    overview = await look
    assert await shared.overview(60) is overview
    assert readings == 1
