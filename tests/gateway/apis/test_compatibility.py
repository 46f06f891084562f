"""The dispatcher's, the serving agent's and the router's API: a real gateway and consumers in this process, on the emulator."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from inference_engine import AsyncConsumer, AsyncProducer, Settings, UnretryableError
from inference_engine.backends.base import Work
from inference_engine.backends.simulated import SimulatedBackend
from inference_engine.deployment import Deployment
from inference_engine.errors import ModelInputError
from inference_engine.gateway.server import Gateway
from inference_engine.gateway.settings import GatewaySettings
from tests.support.examples import run_page
from tests.support.project import DOCS
from tests.support.waiting import HANG_SECONDS


@dataclass(frozen=True, slots=True)
class Live:
    """A gateway that runs, and what it runs."""

    server: Gateway
    http: aiohttp.ClientSession

    @property
    def waiting(self) -> int:
        """Requests that have had no turn."""
        return self.server.service.flow_stats().waiting

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return await self._ask("GET", path, status, **options)

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        return await self._ask("POST", path, status, json=body, **options)

    async def _ask(self, method: str, path: str, status: int, **options: Any) -> Any:
        async with self.http.request(method, path, **options) as answer:
            told = await answer.json()
            assert answer.status == status, told
            assert (answer.content_type == "application/problem+json") is (status >= 400)
            return told

    async def ended(self, task_id: str) -> Any:
        """The task when it has ended."""

        async def ended() -> Any:
            task = await self.get(f"/task/{task_id}")
            return task if task["status"] not in ("pending", "running") else None

        return await until(ended)


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for what no event tells of; the first value of the condition that counts as true."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)


@asynccontextmanager
async def gateway(settings: Settings, **options: Any) -> AsyncIterator[Live]:
    server = Gateway(settings, GatewaySettings(port=0, **options))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done())
    async with aiohttp.ClientSession(server.url) as http:
        try:
            yield Live(server, http)
        finally:
            await server.end()
            await serving


@asynccontextmanager
async def live(settings: Settings, compute: Callable[..., Any] | None = None, **options: Any) -> AsyncIterator[Live]:
    """A gateway, and one consumer named `worker-1`: of a function, or without a model."""
    what: dict[str, Any] = {"compute_result": compute} if compute else {"backend": Simulated()}
    async with AsyncConsumer(settings, consumer_id="worker-1", **what), gateway(settings, **options) as found:
        yield found


class Simulated(SimulatedBackend):
    """What the documentation's examples run against: besides, a sentence model and one that is slow."""

    async def infer(self, work: Work) -> Any:
        if work.label == "minilm":
            return {"EMBEDDING": np.full((len(work.body["TEXT"]), 384), 0.5, dtype=np.float32)}
        if work.label == "a-slow-model":
            await asyncio.sleep(600)
        return await super().infer(work)


def task(task_type: str, parameters: Any, label: str = "m", **more: Any) -> dict[str, Any]:
    return {"task_type": task_type, "label": label, "parameters_json": json.dumps(parameters), **more}


@asynccontextmanager
async def uploader(answer: dict[str, Any], status: int = 200) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(answer | {"message": json.dumps(await request.json())}, status=status)

    app = web.Application()
    app.router.add_post("/upload-model", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/upload-model"
    finally:
        await runner.cleanup()


# --- dispatcher ----------------------------------------------------------------------------------------------------------


async def test_each_type_of_task_sends_its_body_and_tells_its_result(settings: Settings) -> None:
    def compute(body: Any, message_id: str, label: str) -> Any:
        if label == "sentences":
            return {"EMBEDDING": np.array([[len(text), 0.5] for text in body["TEXT"]], dtype=np.float32)}
        return {"body": body, "x": np.array([np.nan, 1.0]), "raw": b"\xff", "odd": "\ud800"}

    async with live(settings, compute) as found:
        rest = {"x": ["NaN", 1.0], "raw": "/w==", "odd": "\ud800"}
        parameters = {"image": [1, 2.5, None], "deep": {"a": "é"}}
        assert await found.post("/run-task", task("infer", parameters)) == {"body": parameters} | rest
        assert await found.post("/run-task", task("infer", None)) == {"body": None} | rest
        resized = {"task_id": "t-1", "task_type": "resize", "parameters": [1]}
        assert await found.post("/run-task", task("resize", [1], task_id="t-1")) == {"body": resized} | rest
        embedded = await found.post("/run-task", task("embed_texts", {"texts": ["a", "bcd"]}, "sentences"))
        assert embedded == {"embeddings": [[1.0, 0.5], [3.0, 0.5]]}
        told = await found.post("/run-task", task("embed_texts", {"texts": ["a"]}), status=400)
        assert told["type"] == "/problems/not-a-sentence-model"


async def test_a_task_that_is_sent_keeps_its_name_and_is_found_by_the_serving_agents_api(settings: Settings) -> None:
    async with live(settings) as found, AsyncProducer(settings) as producer:
        sent = await found.post("/send-task", task("infer", {"x": 1}, task_id="mine"), status=202)
        assert sent["task_id"] == "mine"
        ended = await found.ended(sent["message_id"])
        assert (ended["status"], ended["model_name"], ended["outputs"]["body"]) == ("succeeded", "m", {"x": 1})
        assert (await producer.retrieve_result(sent["message_id"])).request_id == "mine"
        unnamed = await found.post("/send-task", task("resize", 1), status=202)
        assert len(unnamed["task_id"]) > 20
        assert (await found.ended(unnamed["message_id"]))["outputs"]["body"]["task_id"] == unnamed["task_id"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"task_type": "infer", "label": "m"}, "parameters_json: Field required"),
        ({"task_type": "infer", "label": 5, "parameters_json": "1"}, "label: Input should be a valid string"),
        ({"task_type": "infer", "label": "m", "parameters_json": {"a": 1}}, "parameters_json: Input should be"),
        ({"task_type": "infer", "label": "m", "parameters_json": "{"}, "parameters_json: is not JSON"),
        (task("infer", 1, task_id="x" * 1001), "task_id: String should have at most 1000 characters"),
        (task("embed_texts", {"texts": "one"}), "at least one string"),
    ],
)
async def test_tasks_that_are_none_are_refused(settings: Settings, body: Any, told: str) -> None:
    async with gateway(settings) as found:
        for path in ("/run-task", "/send-task"):
            assert told in (await found.post(path, body, status=422))["detail"]


async def test_what_became_of_a_task_is_told_by_the_status(settings: Settings) -> None:
    def compute(body: Any, message_id: str) -> Any:
        if body == "unfit":
            raise ModelInputError("no such input")
        raise UnretryableError("broken")

    async with live(settings, compute) as found:
        broken = await found.post("/run-task", task("infer", "x"), status=500)
        assert (broken["type"], broken["error_type"]) == ("/problems/job-failed", "UnretryableError")
        assert "broken" in broken["error"]
        await found.post("/run-task", task("infer", "unfit"), status=400)
        told = await found.post("/run-task", task("infer", 1, label=" "), status=400)
        assert told["type"] == "/problems/invalid-label"
        told = await found.post("/v1/predict", {"model_name": "m", "inputs": {}}, status=500)
        assert (await found.get(f"/task/{told['message_id']}"))["status"] == "failed"


async def test_who_names_more_time_than_there_is_is_told_how_long_it_was(settings: Settings) -> None:
    settings = settings.model_copy(update={"drain_seconds": 0.1})
    async with live(settings, timeout_seconds=1, timeout_max_seconds=2) as found:
        for seconds, told in (("9", "(the longest wait allowed here is 2 s)"), ("0.5", "to wait longer")):
            headers = {"X-Inference-Timeout": seconds}
            late = await found.post("/run-task", task("infer", 1, "a-slow-model"), status=504, headers=headers)
            assert late["type"] == "/problems/timeout"
            assert told in late["detail"]


async def test_workers_and_labels_are_those_of_the_registry(settings: Settings) -> None:
    async with live(settings) as found, AsyncConsumer(settings, consumer_id="idle", compute_result=print):
        await found.post("/run-task", task("infer", 1, "red"))

        async def both() -> bool:
            return bool(await found.get("/workers") == {"workers": ["idle", "worker-1"]})

        await until(both)
        (holder,) = (await until(lambda: found.get("/labels")))["red"]
        assert holder in ("idle", "worker-1")
    async with gateway(settings) as found:
        assert await found.get("/workers") == {"workers": []}
        assert await found.get("/labels") == {}
        assert await found.get("/health") == {"message": "OK"}


async def test_a_key_sees_its_labels_only_and_cannot_do_what_operators_do(
    settings: Settings, deployment: Deployment
) -> None:
    text, _ = await deployment.api_keys.create("team", labels=["re*"])
    key: dict[str, Any] = {"headers": {"Authorization": f"Bearer {text}"}}
    async with live(settings, require_keys=True) as found:
        await found.get("/workers", status=401)
        await found.post("/run-task", task("infer", 1, "red"), **key)
        async with AsyncProducer(settings) as producer:
            other = (await producer.post(1, "blue", timeout_seconds=30)).message_id
        assert await until(lambda: found.get("/labels", **key)) == {"red": ["worker-1"]}
        assert await found.get("/workers", **key) == {"workers": ["worker-1"]}
        await found.post("/run-task", task("infer", 1, "blue"), status=403, **key)
        await found.get(f"/task/{other}", status=404, **key)
        await found.get("/v1/queue_size?model_name=blue", status=403, **key)
        for path in ("/pause", "/unpause"):
            told = await found.post(path, status=403, **key)
            assert told["type"] == "/problems/not-an-operator"
        await found.post("/upload-model", {"model_id": "a/b"}, status=403, **key)
        for path in ("/health", "/live", "/ready", "/healthz", "/readyz"):
            await found.get(path)


async def test_uploads_go_to_the_uploader_with_their_defaults(settings: Settings) -> None:
    async with (
        uploader({"status": "success", "model_name": "a--b"}) as url,
        gateway(settings, uploader_url=url) as found,
    ):
        done = await found.post("/upload-model", {"model_id": "a/b"})
        assert (done["status"], done["model_name"]) == ("success", "a--b")
        assert json.loads(done["message"]) == {"model_id": "a/b", "max_batch_size": 32, "overwrite": False}
        for wrong in (
            {},
            {"model_id": ""},
            {"model_id": "a", "overwrit": True},
            {"model_id": "a", "overwrite": "yes"},
            {"model_id": "a", "max_batch_size": 0},
        ):
            await found.post("/upload-model", wrong, status=422)
    async with gateway(settings) as found:
        told = await found.post("/upload-model", {"model_id": "a/b"}, status=503)
        assert "INFERENCE_ENGINE_GATEWAY_UPLOADER_URL" in told["detail"]


# --- serving agent -------------------------------------------------------------------------------------------------------


async def test_a_prediction_answers_with_its_task(settings: Settings) -> None:
    async with live(settings) as found:
        done = await found.post("/v1/predict", {"model_name": "m", "inputs": {"x": [1]}})
        assert (done["status"], done["model_name"], done["error"]) == ("succeeded", "m", None)
        assert done["outputs"] == {"simulated": True, "label": "m", "body": {"x": [1]}}
        assert "inputs" not in done
        times = [datetime.fromisoformat(done[name]) for name in ("created_at", "started_at", "finished_at")]
        assert times == sorted(times)
        assert done["queue_seconds"] >= 0
        assert done["running_time"] >= 0
        again = await found.get(f"/task/{done['id']}")
        assert (again["status"], again["outputs"]) == ("succeeded", done["outputs"])


async def test_inputs_are_shown_where_they_were_kept_and_asked_for(settings: Settings) -> None:
    async with live(settings) as found:
        prediction = {"model_name": "m", "inputs": {"x": ["é" * 10]}}
        kept = (await found.post("/async/v1/predict", prediction | {"keep_inputs": True}))["id"]
        other = (await found.post("/async/v1/predict", prediction))["id"]
        for task_id in (kept, other):
            assert (await found.ended(task_id))["outputs"]["body"] == prediction["inputs"]
        assert (await found.get(f"/task/{kept}?inputs=true"))["inputs"] == prediction["inputs"]
        assert "inputs" not in await found.get(f"/task/{kept}")
        assert "inputs" not in await found.get(f"/task/{other}?inputs=true")


async def test_a_task_that_waits_is_cancelled(settings: Settings) -> None:
    async with gateway(settings) as found:
        task_id = (await found.post("/async/v1/predict", {"model_name": "m", "inputs": {}}))["id"]
        assert await found.get("/unfinished") == {"num of unfinished tasks": 1, "ids": [task_id]}
        waiting = await found.get(f"/task/{task_id}")
        assert (waiting["status"], waiting["started_at"], waiting["running_time"]) == ("pending", None, None)
        assert await found.post(f"/cancel/{task_id}") == {"id": task_id, "canceled": True}
        assert (await found.get(f"/task/{task_id}"))["status"] == "canceled"
        assert await found.post(f"/cancel/{task_id}") == {"id": task_id, "canceled": True}
        assert await found.get("/unfinished") == {"num of unfinished tasks": 0, "ids": []}
        await found.post("/cancel/no-such-task", status=404)
        await found.get("/task/no-such-task", status=404)
        await found.get(f"/task/{'x' * 3000}", status=422)


async def test_a_task_that_has_ended_is_not_cancelled(settings: Settings) -> None:
    async with live(settings) as found:
        task_id = (await found.post("/async/v1/predict", {"model_name": "m", "inputs": {}}))["id"]
        await found.ended(task_id)
        assert (await found.post(f"/cancel/{task_id}", status=409))["message_id"] == task_id
        assert (await found.get(f"/task/{task_id}"))["status"] == "succeeded"


async def test_a_full_queue_accepts_no_more(settings: Settings) -> None:
    async with gateway(settings, max_queue_size=2) as found:
        prediction = {"model_name": "m", "inputs": {}}
        for _ in range(2):
            await found.post("/async/v1/predict", prediction)
        async with found.http.post("/async/v1/predict", json=prediction) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) >= 1
        assert await found.get("/v1/queue_size?model_name=m") == {"queue_size": 2}

        async def all_labels() -> bool:
            return bool(await found.get("/v1/queue_size") == {"queue_size": 2})

        await until(all_labels)
        await found.post("/async/v1/predict", prediction | {"model_name": "other"})


async def test_a_paused_gateway_refuses_tasks_and_lets_predictions_wait(settings: Settings) -> None:
    async with live(settings) as found:
        await found.post("/pause")
        prediction = {"model_name": "m", "inputs": {}}
        told = await found.post("/async/v1/predict", prediction, status=503)
        assert told["type"] == "/problems/paused"
        waiting = asyncio.create_task(found.post("/v1/predict", prediction))
        await until(lambda: found.waiting == 1)
        assert await found.get("/ready") == {"message": "API OK"}
        await found.post("/unpause")
        assert (await waiting)["status"] == "succeeded"
        await found.post("/async/v1/predict", prediction)


@pytest.mark.parametrize(
    ("users", "order"),
    [
        ([{"UID": "a"}, {"UID": "a"}, {"UID": "b"}], [0, 2, 1]),
        ([{"UID": "a"}, {"UID": "b"}, {"UID": "c"}], [0, 1, 2]),
        ([{"UID": "a", "X-Inference-Flow": "one"}, {"UID": "b", "X-Inference-Flow": "one"}, {"UID": "c"}], [0, 2, 1]),
    ],
)
async def test_users_take_turns(settings: Settings, users: list[dict[str, str]], order: list[int]) -> None:
    computed: list[int] = []

    async def compute(body: Any, message_id: str) -> None:
        computed.append(body["n"])

    async with live(settings, compute, max_concurrency=1) as found:
        await found.post("/v1/predict", {"model_name": "m", "inputs": {"n": -1}})
        await found.post("/pause")
        waiting = []
        for n, headers in enumerate(users):
            body = {"model_name": "m", "inputs": {"n": n}}
            waiting.append(asyncio.create_task(found.post("/v1/predict", body, headers=headers)))
            await until(lambda: found.waiting == len(waiting))
        await found.post("/unpause")
        await asyncio.gather(*waiting)
    assert computed == [-1, *order]
    assert len(users) == 3


@pytest.mark.parametrize("uid", ["x" * 129, "caf\xe9"])
async def test_a_user_must_have_a_name_that_can_be_kept(settings: Settings, uid: str) -> None:
    async with gateway(settings) as found:
        headers = {"UID": uid}
        told = await found.post("/v1/predict", {"model_name": "m", "inputs": {}}, status=422, headers=headers)
        assert "uid" in told["detail"]


async def test_webhooks_that_cannot_be_called_are_refused(settings: Settings) -> None:
    async with gateway(settings) as found:
        prediction = {"model_name": "m", "inputs": {}, "webhook": "file:///etc/passwd"}
        await found.post("/async/v1/predict", prediction, status=400)


# --- router --------------------------------------------------------------------------------------------------------------


async def test_prompts_go_to_the_model_that_is_set(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "router-pod-1")
    options: dict[str, Any] = {"model_ref": "chat", "kv_endpoints": ("kv-0:1", "kv-1:1"), "prompt_input": "TEXT"}
    async with live(settings, **options) as found:
        answer = await found.post("/infer", {"prompt": "Why?"})
        assert isinstance(answer.pop("processingMs"), int)
        assert answer == {
            "modelRef": "chat",
            "prompt": "Why?",
            "routerPod": "router-pod-1",
            "kvEndpoints": ["kv-0:1", "kv-1:1"],
            "result": {"simulated": True, "label": "chat", "body": {"TEXT": "Why?"}},
        }
        await found.post("/infer", {"prompt": 5}, status=422)
        # As the API's first server: what it does not know it leaves unread.
        await found.post("/infer", {"prompt": "Why?", "stream": False})
        assert await found.get("/healthz") == {"status": "ok"}
        assert await found.get("/readyz") == {"ready": True}


async def test_without_a_model_prompts_are_told_how_to_set_one(settings: Settings) -> None:
    async with gateway(settings) as found:
        assert "MODEL_REF" in (await found.post("/infer", {"prompt": "Why?"}, status=503))["detail"]


async def test_probes_tell_that_a_gateway_stops(settings: Settings) -> None:
    async with gateway(settings) as found:
        found.server.service.stop()
        for path in ("/ready", "/readyz"):
            await found.get(path, status=503)
        for path in ("/live", "/healthz", "/health"):
            await found.get(path)


# --- documentation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "count"), [("dispatcher", 9), ("serving-agent", 12), ("router", 4)])
async def test_the_examples_of_the_documentation(settings: Settings, page: str, count: int) -> None:
    options: dict[str, Any] = {"model_ref": "chat", "kv_endpoints": ("kv-0:6379", "kv-1:6379")}
    done = {"status": "success", "model_name": "sentence-transformers--all-MiniLM-L6-v2"}
    # One example leaves a job that runs on.
    settings = settings.model_copy(update={"drain_seconds": 0.1})
    async with uploader(done) as url, live(settings, uploader_url=url, **options) as found:
        await found.post("/run-task", task("infer", 1, "resnet50"))
        # What is held is told as of a moment ago.
        await until(lambda: found.get("/labels"))
        assert await asyncio.to_thread(run_page, DOCS / "gateway" / f"{page}.md", found.server.url) == count
