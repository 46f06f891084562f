"""Closing the transport, whatever AWS does at that moment."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from inference_engine.aws.session import AioTransport
from inference_engine.errors import TransportError

pytestmark = pytest.mark.usefixtures("aws_environment")

CLOSED = "connection to AWS is closed"


class Hearer:
    """Takes connections and requests, and answers none: it breaks the connections that it is told to break."""

    def __init__(self) -> None:
        self.heard = asyncio.Queue[asyncio.StreamWriter]()
        self.left = asyncio.Queue[asyncio.StreamWriter]()

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65536):
                self.heard.put_nowait(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.left.put_nowait(writer)

    async def gone(self, connections: int) -> None:
        """Return when so many connections are over."""
        for _ in range(connections):
            await self.left.get()


@asynccontextmanager
async def hearing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hearer]:
    hearer = Hearer()
    server = await asyncio.start_server(hearer.hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    async with server:
        yield hearer


async def test_a_call_that_is_not_answered_ends_with_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing(monkeypatch) as aws:
        transport = AioTransport()
        calls = [asyncio.create_task(transport.call("sqs", "list_queues")) for _ in range(3)]
        for _ in calls:
            await aws.heard.get()
        await transport.close()
        for call in calls:
            with pytest.raises(TransportError, match=CLOSED):
                await call
        await aws.gone(len(calls))
    gc.collect()  # an open session would tell of itself, which fails a test


async def test_a_call_that_is_being_repeated_opens_nothing_after_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing(monkeypatch) as aws:
        transport = AioTransport()
        call = asyncio.create_task(transport.call("sqs", "list_queues"))
        (await aws.heard.get()).transport.abort()
        await transport.close()
        with pytest.raises(TransportError, match=CLOSED):
            await call
        with pytest.raises(TransportError, match=CLOSED):
            await transport.call("sqs", "list_queues")
        await aws.gone(1)
        assert aws.heard.empty()
    gc.collect()


async def test_who_cancels_a_call_is_not_told_of_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing(monkeypatch) as aws:
        transport = AioTransport()
        call = asyncio.create_task(transport.call("sqs", "list_queues"))
        await aws.heard.get()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await transport.close()
        await aws.gone(1)
    gc.collect()


async def test_a_transport_without_calls_closes_twice() -> None:
    transport = AioTransport()
    await transport.close()
    await transport.close()
