"""A gateway before more callers than it may let wait: each gets exactly one outcome, and memory stays where its bounds are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from inference_engine import Producer
from inference_engine.gateway.server import LAST_ANSWERS_SECONDS
from inference_engine.local.processes import free_port
from inference_engine.settings import Settings
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.waiting import HANG_SECONDS, eventually
from tests.support.workers import workers

pytestmark = pytest.mark.acceptance

CALLERS = 2000
LEAVING = 100
WAITING = 500
IN_FLIGHT = 64
BODY_BYTES = 20_000
#: What 2,000 connections with a body each cost at once, and twice that again; all bodies of callers who wait are 10 MB.
MEMORY_MAX_BYTES = 200_000_000
#: A delay, in seconds, that no test waits for: what ends within it ends for another reason.
LONGER = 2 * int(HANG_SECONDS)
#: Of an answer of which most still lies in the gateway's memory when the connection's own buffers are full.
LARGE_BYTES = 12_000_000


async def test_every_caller_of_a_saturated_label_gets_one_outcome_in_bounded_memory(
    settings: Settings, tmp_path: Path
) -> None:
    bounds = {"max_queue_size": WAITING, "in_flight_per_host": IN_FLIGHT, "queue_seconds": 5, "timeout_seconds": 120}
    with workers(settings, 1), gateway_process(settings, **bounds) as gateway:
        await asyncio.to_thread(_warm, settings)
        before = _memory(gateway)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(gateway.url, connector=connector) as session:
            callers = [asyncio.create_task(_call(session, tmp_path, number)) for number in range(CALLERS)]
            await asyncio.to_thread(eventually, lambda: _ended(callers) == CALLERS - WAITING - IN_FLIGHT, "it is full")
            waiting = [caller for caller in callers if not caller.done()]
            for caller in waiting[-LEAVING:]:
                caller.cancel()
            await asyncio.to_thread(
                eventually, lambda: _ended(callers) == CALLERS - IN_FLIGHT, "the rest has waited enough"
            )
            (tmp_path / "go").touch()
            outcomes = Counter(await asyncio.gather(*callers, return_exceptions=True))
            counted = _outcomes(await (await session.get("/metrics")).text())
        grown = _memory(gateway) - before
    assert {type(outcome) for outcome in outcomes} == {tuple, asyncio.CancelledError}
    told = Counter({outcome: count for outcome, count in outcomes.items() if isinstance(outcome, tuple)})
    assert told == {
        (200, "done"): IN_FLIGHT,
        (429, "/problems/queue-full"): CALLERS - WAITING - IN_FLIGHT,
        (429, "/problems/ttl"): WAITING - LEAVING,
    }
    assert counted == {
        "dispatched": IN_FLIGHT,
        "queue-full": CALLERS - WAITING - IN_FLIGHT,
        "ttl": WAITING - LEAVING,
        "caller-left": LEAVING,
        "no-consumer": 0,
        "shutting-down": 0,
    }
    starts = (tmp_path / "starts").read_text().splitlines()
    assert len(starts) == len({start.split()[0] for start in starts}) == IN_FLIGHT
    assert grown < MEMORY_MAX_BYTES, f"the gateway grew by {grown / 1e6:.0f} MB"


async def test_a_gateway_that_is_told_to_stop_refuses_newcomers_and_serves_who_was_there(
    settings: Settings, tmp_path: Path
) -> None:
    with workers(settings, 1), gateway_process(settings, in_flight_per_host=2, shutdown_delay=LONGER) as gateway:
        await asyncio.to_thread(_warm, settings)
        async with aiohttp.ClientSession(gateway.url) as session:
            callers = [asyncio.create_task(_call(session, tmp_path, number)) for number in range(6)]
            await asyncio.to_thread(eventually, (tmp_path / "starts").exists, "a job has started")
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: not gateway.ready, "it is not ready any more")
            assert await _call(session, tmp_path, 7) == (503, "/problems/shutting-down")
            submitted = await session.post("/send-task", json=_task(tmp_path, 8))
            assert submitted.status == 503
            assert submitted.headers["Retry-After"] == "1"
            (tmp_path / "go").touch()
            assert Counter(await asyncio.gather(*callers)) == {(200, "done"): 6}
        assert await asyncio.to_thread(gateway.process.wait, HANG_SECONDS) == 0


async def test_who_has_no_turn_within_the_shutdown_delay_is_told_so(settings: Settings, tmp_path: Path) -> None:
    with workers(settings, 1), gateway_process(settings, in_flight_per_host=2, shutdown_delay=2) as gateway:
        await asyncio.to_thread(_warm, settings)
        async with aiohttp.ClientSession(gateway.url) as session:
            callers = [asyncio.create_task(_call(session, tmp_path, number)) for number in range(6)]
            await asyncio.to_thread(eventually, (tmp_path / "starts").exists, "a job has started")
            gateway.process.send_signal(signal.SIGTERM)
            outcomes = Counter(await asyncio.gather(*callers))
        assert outcomes == {(503, "/problems/shutting-down"): 6}
        assert await asyncio.to_thread(gateway.process.wait, HANG_SECONDS) == 0
        (tmp_path / "go").touch()


async def test_a_second_signal_sends_everybody_away_at_once(settings: Settings, tmp_path: Path) -> None:
    with workers(settings, 1), gateway_process(settings, in_flight_per_host=2, shutdown_delay=LONGER) as gateway:
        await asyncio.to_thread(_warm, settings)
        async with aiohttp.ClientSession(gateway.url) as session:
            callers = [asyncio.create_task(_call(session, tmp_path, number)) for number in range(6)]
            await asyncio.to_thread(eventually, (tmp_path / "starts").exists, "a job has started")
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: not gateway.ready, "it is not ready any more")
            gateway.process.send_signal(signal.SIGTERM)
            assert Counter(await asyncio.gather(*callers)) == {(503, "/problems/shutting-down"): 6}
        assert await asyncio.to_thread(gateway.process.wait, HANG_SECONDS) == 0
        (tmp_path / "go").touch()


async def test_answers_and_uploads_under_way_are_given_the_rest_of_the_shutdown_delay(settings: Settings) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    async with _uploader(asked, go_on) as url:
        bounds: dict[str, object] = {"shutdown_delay": LONGER, "uploader_url": url}
        with workers(settings, 1), gateway_process(settings, **bounds) as gateway, _reading(gateway) as reader:
            async with aiohttp.ClientSession(gateway.url) as session:
                begin = await asyncio.to_thread(reader.recv, 1000)
                upload = asyncio.ensure_future(_upload(session))
                await asyncio.wait_for(asked.wait(), HANG_SECONDS)
                gateway.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(eventually, lambda: not _listens(gateway), "it listens no more")
                with pytest.raises(subprocess.TimeoutExpired):
                    await asyncio.to_thread(gateway.process.wait, LAST_ANSWERS_SECONDS + 1)
                rest = await asyncio.to_thread(_rest, reader)
                go_on.set()
                assert await upload == 200
            assert await asyncio.to_thread(gateway.process.wait, HANG_SECONDS) == 0
    head, _, body = (begin + rest).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(body)["n"]) == LARGE_BYTES


async def test_a_second_signal_waits_for_nobody_who_does_not_read(settings: Settings) -> None:
    with workers(settings, 1), gateway_process(settings, shutdown_delay=LONGER) as gateway, _reading(gateway) as reader:
        await asyncio.to_thread(reader.recv, 1000)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(eventually, lambda: not _listens(gateway), "it listens no more")
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.process.wait, HANG_SECONDS) == 0


def test_a_gateway_that_can_never_work_says_so_in_a_line_and_ends(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = f"the gateway cannot listen on 127.0.0.1 port {port} (Address already in use)"
        assert told in _refusal("--port", port, "--prefix", settings.prefix)
    port = str(free_port())
    assert "nobody-made-this-registry" in _refusal("--port", port, "--prefix", "nobody-made-this")
    assert "specify a region. Set AWS_REGION" in _refusal("--port", port, without=("AWS_REGION", "AWS_DEFAULT_REGION"))


def _refusal(*arguments: str, without: tuple[str, ...] = ()) -> str:
    """What a gateway says that does not start."""
    environment = {name: value for name, value in os.environ.items() if name not in without}
    command = [sys.executable, "-m", "inference_engine.cli", "gateway", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr


@contextlib.contextmanager
def _reading(gateway: GatewayProcess) -> Iterator[socket.socket]:
    """A connection on which a large answer has been asked for, and that takes little of it unless it is read."""
    address = gateway.url.rpartition("/")[2]
    task = {"task_type": "infer", "label": "large", "parameters_json": json.dumps({"n": "x" * LARGE_BYTES})}
    content = json.dumps(task).encode()
    lines = ("POST /run-task HTTP/1.1", f"Host: {address}", "Content-Type: application/json")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        reader.settimeout(60)
        reader.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        reader.sendall("\r\n".join((*lines, f"Content-Length: {len(content)}", "", "")).encode() + content)
        yield reader


def _rest(reader: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = bytearray()
    while chunk := reader.recv(1_000_000):
        found += chunk
    return bytes(found)


def _listens(gateway: GatewayProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@contextlib.asynccontextmanager
async def _uploader(asked: asyncio.Event, go_on: asyncio.Event) -> AsyncIterator[str]:
    """A service that converts models: tells when it is asked, and answers when it may."""

    async def convert(_request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response({"status": "success", "model_name": "m", "message": "converted"})

    app = web.Application()
    app.router.add_post("/upload-model", convert)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/upload-model"
    finally:
        await runner.cleanup()


async def _upload(session: aiohttp.ClientSession) -> int:
    async with session.post("/upload-model", json={"model_id": "a/model"}) as answer:
        return answer.status


def _warm(settings: Settings) -> None:
    """Have the label's model loaded, so that its room is that of one holder."""
    with Producer(settings) as producer:
        assert producer.post({"n": 0}, label="busy").ok


async def _call(session: aiohttp.ClientSession, folder: Path, number: int) -> tuple[int, str]:
    async with session.post("/run-task", json=_task(folder, number)) as answer:
        told = await answer.json(content_type=None)
        return answer.status, "done" if answer.status == 200 else told["type"]


def _task(folder: Path, number: int) -> dict[str, Any]:
    body = {"do": "hold", "folder": str(folder), "n": number, "padding": "x" * BODY_BYTES}
    return {"task_id": str(number), "task_type": "infer", "label": "busy", "parameters_json": json.dumps(body)}


def _ended(callers: list[asyncio.Task[tuple[int, str]]]) -> int:
    return sum(caller.done() for caller in callers)


def _outcomes(metrics: str) -> dict[str, int]:
    found = re.findall(r'^inference_engine_gateway_outcomes_total\{outcome="(.*)"\} (\S+)$', metrics, re.MULTILINE)
    return {outcome: int(float(count)) for outcome, count in found}


def _memory(gateway: GatewayProcess) -> int:
    """The most that the process ever had in memory, in bytes."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024
