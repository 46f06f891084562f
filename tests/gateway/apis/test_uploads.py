"""Requests that are forwarded to an uploader, against a real server that behaves as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from inference_engine.gateway.apis.uploads import ANSWER_MAX_BYTES, REASON_MAX_CHARACTERS, Uploaded, forward
from inference_engine.gateway.http.problems import Problem

BODY: dict[str, Any] = {"model_id": "a/b", "max_batch_size": 32, "overwrite": False}
DONE = {"status": "success", "model_name": "a--b", "message": "converted"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def uploader(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server with one handler."""
    app = web.Application()
    app.router.add_post("/upload-model", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/upload-model"
    finally:
        await runner.cleanup()


async def problem(handler: Handler, seconds: float = 10) -> Problem:
    async with uploader(handler) as url:
        with pytest.raises(Problem) as raised:
            await forward(url, seconds, BODY)
    return raised.value


def answers(status: int, **options: Any) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, **options)

    return handler


async def test_the_request_goes_on_as_it_came_and_the_answer_comes_back() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response(DONE | {"more": 1}, status=201)

    async with uploader(handler) as url:
        assert await forward(url, 10, BODY) == Uploaded(**DONE)
    assert seen == [BODY]


@pytest.mark.parametrize(
    ("answer", "status", "kind", "told"),
    [
        (answers(404, text="no such model"), 502, "uploader-failed", "answered 404: no such model"),
        (answers(500), 502, "uploader-failed", "answered 500: nothing"),
        (answers(302, headers={"Location": "/elsewhere"}), 502, "uploader-failed", "answered 302"),
        (answers(504, text="slow hub"), 504, "uploader-timeout", "answered 504: slow hub"),
        (answers(200, text="fine"), 502, "uploader-failed", "not a valid upload result: fine"),
        (answers(200, body=b"\xff\xfe"), 502, "uploader-failed", "not a valid upload result"),
        (answers(200, text='{"status": 1}'), 502, "uploader-failed", "not a valid upload result"),
    ],
)
async def test_what_an_uploader_says_of_its_failure_is_passed_on(
    answer: Handler, status: int, kind: str, told: str
) -> None:
    found = await problem(answer)
    assert (found.status, found.kind) == (status, kind)
    assert told in found.detail


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    found = await problem(answers(500, body=b"x" * (ANSWER_MAX_BYTES * 4)))
    assert found.members == {"upstream_status": 500}
    assert found.detail.count("x") == REASON_MAX_CHARACTERS


async def test_an_uploader_that_does_not_answer_in_time_is_504() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    found = await problem(handler, seconds=0.1)
    assert (found.status, found.detail) == (504, "the uploader did not answer within 0.1 s")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/upload-model", "no url", "http://"])
async def test_an_uploader_that_cannot_be_reached_is_502_and_its_address_is_not_told(url: str) -> None:
    with pytest.raises(Problem) as raised:
        await forward(url, 10, BODY)
    assert (raised.value.status, raised.value.kind) == (502, "uploader-unreachable")
    assert "127.0.0.1" not in raised.value.detail
