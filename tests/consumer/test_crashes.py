"""Consumer processes that are killed, stopped, poisoned: every job ends in exactly one result."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from inference_engine import Producer, Response, ResultStatus, Settings
from inference_engine.deployment import Deployment
from tests.support.deployments import with_short_terms
from tests.support.waiting import HANG_SECONDS, eventually
from tests.support.workers import workers

pytestmark = pytest.mark.faults


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_short_terms(settings)


def collect(producer: Producer, ids: list[str]) -> list[Response]:
    responses = list(producer.as_completed(ids, timeout_seconds=120))
    assert {response.message_id for response in responses} == set(ids)
    assert len(responses) == len(ids)
    return responses


def starts(folder: Path) -> list[tuple[str, int]]:
    file = folder / "starts"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(message_id, int(pid)) for message_id, pid in (line.split() for line in lines)]


def draining(settings: Settings) -> bool:
    """Whether a consumer of the deployment says that it drains."""

    async def look() -> bool:
        deployment = Deployment.for_producer(settings)
        try:
            fleet = await deployment.registry.fleet(settings.cell)
        finally:
            await deployment.close()
        return any(consumer.draining for consumer in fleet.consumers)

    return asyncio.run(look())


def test_a_killed_consumers_jobs_are_computed_by_another(settings: Settings, tmp_path: Path) -> None:
    with Producer(settings) as producer, workers(settings, 2) as both:
        held = producer.post_many([{"do": "hold", "folder": str(tmp_path), "n": n} for n in range(5)], "held")
        others = producer.post_many([{"n": n} for n in range(100)], "others")
        pid = eventually(lambda: starts(tmp_path), "a held job has started")[0][1]
        victim = next(worker for worker in both if worker.pid == pid)
        victim.kill()
        (tmp_path / "go").touch()
        responses = collect(producer, held + others)
    assert {response.status for response in responses} == {ResultStatus.SUCCESS}
    assert all(response.result["pid"] != pid for response in responses if response.message_id in held)


def test_a_stopped_consumer_finishes_its_jobs_and_leaves(settings: Settings, tmp_path: Path) -> None:
    with Producer(settings) as producer, workers(settings, 1) as [worker]:
        held = producer.post_many([{"do": "hold", "folder": str(tmp_path), "n": n} for n in range(5)], "held")
        eventually(lambda: len(starts(tmp_path)) == 5, "the held jobs have started")
        worker.process.terminate()
        (tmp_path / "go").touch()
        assert worker.process.wait(HANG_SECONDS) == 0
        later = producer.post_many([{"n": n} for n in range(20)], "held")
        with workers(settings, 1):
            responses = collect(producer, held + later)
    assert {response.status for response in responses} == {ResultStatus.SUCCESS}
    assert Counter(message_id for message_id, _ in starts(tmp_path)) == dict.fromkeys(held, 1)


def test_a_stopped_consumer_gives_back_what_does_not_end(settings: Settings, tmp_path: Path) -> None:
    hurried = settings.model_copy(update={"drain_seconds": 0.5})
    with Producer(settings) as producer:
        with workers(hurried, 1) as [worker]:
            held = producer.post_many([{"do": "hold", "folder": str(tmp_path)} for _ in range(3)], "held")
            eventually(lambda: len(starts(tmp_path)) == 3, "the held jobs have started")
            worker.process.terminate()
            eventually(
                lambda: all(producer.retrieve_result_status(id_) is ResultStatus.SUBMITTED for id_ in held),
                "the jobs were given back",
            )
            (tmp_path / "go").touch()
            worker.process.wait(HANG_SECONDS)
        with workers(settings, 1):
            responses = collect(producer, held)
    assert {response.status for response in responses} == {ResultStatus.SUCCESS}


def test_a_second_signal_ends_a_consumer_at_once(settings: Settings, tmp_path: Path) -> None:
    with Producer(settings) as producer:
        with workers(settings, 1) as [worker]:
            held = producer.post_many([{"do": "hold", "folder": str(tmp_path)} for _ in range(3)], "held")
            eventually(lambda: len(starts(tmp_path)) == 3, "the held jobs have started")
            worker.process.terminate()
            eventually(lambda: draining(settings), "the worker has taken the first signal")
            worker.process.send_signal(signal.SIGINT)
            assert worker.process.wait(HANG_SECONDS) == -signal.SIGINT
        (tmp_path / "go").touch()
        with workers(settings, 1):
            responses = collect(producer, held)
    assert {response.status for response in responses} == {ResultStatus.SUCCESS}


def test_a_consumer_that_cannot_reach_aws_can_be_stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with workers(settings, 1) as [worker]:
            calling, _ = nobody.accept()
            with calling:
                assert worker.terminate() == 0


def test_a_job_that_kills_its_consumers_ends_as_an_error_and_the_others_succeed(
    settings: Settings, tmp_path: Path
) -> None:
    with Producer(settings) as producer, workers(settings, settings.max_attempts) as fleet:
        poison = producer.post_non_blocking({"do": "crash", "folder": str(tmp_path)}, "poison")
        eventually(lambda: all(worker.process.poll() is not None for worker in fleet), "every consumer has died of it")
        others = producer.post_many([{"n": n} for n in range(30)], "others")
        with workers(settings, 1):
            responses = {response.message_id: response for response in collect(producer, [poison, *others])}
    failed = responses.pop(poison)
    assert failed.status is ResultStatus.ERROR
    assert failed.error is not None
    assert failed.error.type == "PoisonJobError"
    assert len(starts(tmp_path)) == settings.max_attempts
    assert {response.status for response in responses.values()} == {ResultStatus.SUCCESS}


def test_a_redelivered_job_has_one_result(settings: Settings, tmp_path: Path) -> None:
    """A consumer that is frozen past the visibility timeout loses the job; its late result is refused."""
    with Producer(settings) as producer, workers(settings, 1) as [slow]:
        held = producer.post_non_blocking({"do": "hold", "folder": str(tmp_path)}, "held")
        eventually(lambda: starts(tmp_path), "the job has started")
        os.kill(slow.pid, signal.SIGSTOP)
        try:
            with workers(settings, 1) as [quick]:
                eventually(lambda: len(starts(tmp_path)) == 2, "another consumer has the job")
                (tmp_path / "go").touch()
                [response] = collect(producer, [held])
                assert response.result["pid"] == quick.pid
                os.kill(slow.pid, signal.SIGCONT)
                assert slow.terminate() == 0
                assert producer.retrieve_result(held).result["pid"] == quick.pid
        finally:
            os.kill(slow.pid, signal.SIGCONT) if slow.process.poll() is None else None


def test_a_job_longer_than_the_visibility_timeout_is_not_delivered_twice(settings: Settings, tmp_path: Path) -> None:
    with Producer(settings) as producer, workers(settings, 2):
        held = producer.post_many([{"do": "hold", "folder": str(tmp_path)} for _ in range(3)], "long")
        eventually(lambda: len(starts(tmp_path)) == 3, "the jobs have started")
        until = time.monotonic() + 2 * settings.visibility_timeout_seconds
        # Time itself is the event: without heartbeats the messages would be visible again by then.
        eventually(lambda: time.monotonic() > until, "two visibility timeouts have passed")
        (tmp_path / "go").touch()
        responses = collect(producer, held)
    assert {response.status for response in responses} == {ResultStatus.SUCCESS}
    assert Counter(message_id for message_id, _ in starts(tmp_path)) == dict.fromkeys(held, 1)
