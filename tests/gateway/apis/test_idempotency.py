"""Submissions that are sent again with their Idempotency-Key make no second job: a real gateway on the emulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inference_engine import AsyncProducer, Settings
from inference_engine.deployment import Deployment
from tests.gateway.apis.test_compatibility import Live, gateway, live, task

PREDICTION: dict[str, Any] = {"model_name": "m", "inputs": {"x": 1}}


def named(key: str, **more: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key, **more}}


async def predict(found: Live, options: dict[str, Any], label: str = "m") -> str:
    return str((await found.post("/async/v1/predict", PREDICTION | {"model_name": label}, **options))["id"])


async def test_a_repeat_is_the_first_job_also_at_another_gateway_and_after_its_end(settings: Settings) -> None:
    async with live(settings) as found, gateway(settings) as other:
        first = await predict(found, named("mine"))
        assert await predict(found, named("mine")) == first
        assert (await found.ended(first))["outputs"]["body"] == {"x": 1}
        assert await predict(found, named("mine")) == first
        assert await predict(other, named("mine")) == first
        ended = await other.ended(first)
        assert (ended["status"], ended["outputs"]["body"]) == ("succeeded", {"x": 1})
        assert len({first, await predict(found, named("another")), await predict(found, {})}) == 3


async def test_repeats_at_once_are_one_job_and_counted_once(settings: Settings) -> None:
    async with gateway(settings) as found:
        ids = await asyncio.gather(*(predict(found, named("mine")) for _ in range(10)))
        assert len(set(ids)) == 1
        assert await found.get("/unfinished") == {"num of unfinished tasks": 1, "ids": [ids[0]]}
        assert await found.get("/v1/queue_size?model_name=m") == {"queue_size": 1}


async def test_nobody_gets_the_job_of_another_key_or_label(settings: Settings, deployment: Deployment) -> None:
    one, other = [(await deployment.api_keys.create(name))[0] for name in ("one", "other")]
    async with gateway(settings, require_keys=True) as found:
        ones = named("mine", **{"X-API-Key": one})
        ids = {
            await predict(found, ones),
            await predict(found, named("mine", **{"X-API-Key": other})),
            await predict(found, ones, label="another"),
        }
        assert len(ids) == 3
        assert await predict(found, ones) in ids


@pytest.mark.parametrize("task_id", ["", "task-1"])
async def test_a_task_that_is_sent_again_has_the_name_and_the_job_of_the_first(
    settings: Settings, task_id: str
) -> None:
    async with gateway(settings) as found, AsyncProducer(settings) as producer:
        asked = task("resize", {"width": 3}, task_id=task_id)
        sent = [
            await found.post("/send-task", asked, status=202, **named("mine", **{"X-Request-Id": f"try-{n}"}))
            for n in range(2)
        ]
        assert sent[0] == sent[1]
        assert sent[0]["task_id"] == (task_id or sent[0]["task_id"])
        assert (await producer.retrieve_result(sent[0]["message_id"])).request_id == sent[0]["task_id"]


async def test_a_task_s_own_name_tells_no_repeats(settings: Settings) -> None:
    async with gateway(settings) as found:
        asked = task("infer", 1, task_id="task-1")
        sent = [await found.post("/send-task", asked, status=202) for _ in range(2)]
        assert sent[0]["message_id"] != sent[1]["message_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_keys_that_are_none_are_refused(settings: Settings, key: str) -> None:
    async with gateway(settings) as found:
        for path, body, status in (("/async/v1/predict", PREDICTION, 200), ("/send-task", task("infer", 1), 202)):
            told = await found.post(path, body, status=400, **named(key))
            assert told["type"] == "/problems/invalid-header"
            assert "Idempotency-Key" in told["detail"]
            await found.post(path, body, status=status, **named("~" * 255))
