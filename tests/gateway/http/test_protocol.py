"""Answers that are not read: over real connections, and at times that the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from inference_engine.gateway.http import protocol
from tests.support.serving import connection, serving
from tests.support.waiting import HANG_SECONDS

#: More than the kernel keeps for both ends of a connection.
LARGE_BYTES = 30_000_000

large = Response(bytes(LARGE_BYTES))


@pytest.mark.parametrize("lines", [(), ("Connection: close",)])
async def test_an_answer_that_nobody_reads_is_not_kept(monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]) -> None:
    monkeypatch.setattr(protocol, "WRITE_TIMEOUT_SECONDS", 0.3)
    lost = asyncio.Event()

    class Told(protocol.TimedProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    async with serving(large, Told) as port, connection(port) as raw:
        await raw.send("\r\n".join(("GET / HTTP/1.1", "Host: localhost", *lines, "", "")).encode())
        await asyncio.wait_for(lost.wait(), HANG_SECONDS)


async def test_an_answer_that_is_read_comes_whole() -> None:
    async with serving(large) as port, httpx.AsyncClient() as client:
        assert len((await client.get(f"http://127.0.0.1:{port}/")).content) == LARGE_BYTES


class Line:
    """A connection whose other end takes what it is told to, at times that the test decides."""

    def __init__(self, unsent_bytes: int) -> None:
        config = uvicorn.Config(large, log_config=None, access_log=False, lifespan="off", ws="none")
        self.timers: dict[asyncio.TimerHandle, Callable[[], None]] = {}
        self.unsent_bytes = unsent_bytes
        self.aborted = False
        self.protocol = protocol.TimedProtocol(config, ServerState(), {}, _loop=cast(asyncio.AbstractEventLoop, self))
        self.protocol.transport = cast(asyncio.Transport, self)
        self.protocol.flow = FlowControl(self.protocol.transport)

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:
        assert seconds == protocol.WRITE_TIMEOUT_SECONDS
        handle = cast(asyncio.TimerHandle, _Timer(self))
        self.timers[handle] = lambda: callback(*arguments)
        return handle

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.aborted = True

    def wait(self) -> None:
        """Until the one timer that is set."""
        ((handle, callback),) = self.timers.items()
        del self.timers[handle]
        callback()


class _Timer:
    def __init__(self, line: Line) -> None:
        self._line = line

    def cancel(self) -> None:
        self._line.timers.pop(cast(asyncio.TimerHandle, self), None)


@given(st.lists(st.integers(0, 3)))
def test_only_who_takes_nothing_of_an_answer_is_cut_off(taken: list[int]) -> None:
    line = Line(sum(taken) + 1)
    line.protocol.pause_writing()
    for count in taken:
        line.unsent_bytes -= count
        line.wait()
        assert line.aborted == (count == 0)
        if line.aborted:
            break
    else:
        line.protocol.resume_writing()
    assert not line.timers
