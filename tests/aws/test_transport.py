"""Closing the transport, whatever AWS does at that moment."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from inference_engine.aws.transport import AioTransport, RetryPolicy, ThreadTransport, Transport, aio_available
from inference_engine.errors import TransportError

pytestmark = pytest.mark.usefixtures("aws_environment")

CLOSED = "connection to AWS is closed"
#: A plain installation has threads alone (tests/packaging/test_dependency_versions.py).
needs_aio = pytest.mark.skipif(not aio_available(), reason="the extra `async` is not installed")


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


@needs_aio
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


@needs_aio
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


# --- what both transports promise ----------------------------------------------------------------------------------------


def on_threads() -> ThreadTransport:
    """One call at a time, and each tried once."""
    return ThreadTransport(threads=1, retries=RetryPolicy(tries=1))


both = pytest.mark.parametrize("make", [pytest.param(AioTransport, marks=needs_aio), on_threads])


@both
async def test_who_cancels_a_call_is_not_told_of_a_close(
    make: Callable[[], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hearing(monkeypatch) as aws:
        transport = make()
        call = asyncio.create_task(transport.call("sqs", "list_queues"))
        connection = await aws.heard.get()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await transport.close()
        connection.transport.abort()  # a thread's call ends no earlier
        await aws.gone(1)
    gc.collect()


@both
async def test_a_closed_transport_takes_no_calls_and_closes_again(make: Callable[[], Transport]) -> None:
    transport = make()
    await transport.call("sqs", "list_queues")
    for _ in range(2):
        await transport.close()
        with pytest.raises(TransportError, match=CLOSED):
            await transport.call("sqs", "list_queues")
    gc.collect()


@both
async def test_a_transport_without_calls_closes_twice(make: Callable[[], Transport]) -> None:
    transport = make()
    await transport.close()
    await transport.close()


# --- on threads alone ----------------------------------------------------------------------------------------------------


async def test_a_call_that_waits_for_a_thread_ends_with_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing(monkeypatch) as aws:
        transport = on_threads()
        calls = [asyncio.create_task(transport.call("sqs", "list_queues")) for _ in range(3)]
        connection = await aws.heard.get()
        calls[2].cancel()
        await transport.close()
        with pytest.raises(TransportError, match=CLOSED):
            await calls[1]
        with pytest.raises(asyncio.CancelledError):
            await calls[2]
        connection.transport.abort()
        with pytest.raises(TransportError):
            await calls[0]
        await aws.gone(1)
    gc.collect()


class Late(ThreadTransport):
    """Its thread has a call in hand, and goes on with it when it is told to."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _call(self, *asked: Any) -> dict[str, Any]:
        self.begun.set()
        self.go_on.wait()
        return super()._call(*asked)


async def test_a_thread_that_comes_after_the_close_makes_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.Session", lambda **_: pytest.fail("a client that nobody closes"))
    transport = Late()
    call = asyncio.create_task(transport.call("sqs", "list_queues"))
    await asyncio.to_thread(transport.begun.wait)
    await transport.close()
    transport.go_on.set()
    with pytest.raises(TransportError, match=CLOSED):
        await call


class Clients:
    """boto3.Session for a test: its only client is in the making until it is told to be there."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.closed = 0

    def __call__(self, **_: Any) -> Clients:
        return self

    def client(self, *_: Any, **__: Any) -> Clients:
        self.asked.set()
        self.go_on.wait()
        return self

    def list_queues(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.closed += 1


async def test_a_client_that_was_in_the_making_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients()
    monkeypatch.setattr("boto3.Session", clients)
    transport = ThreadTransport(threads=1)
    call = asyncio.create_task(transport.call("sqs", "list_queues"))
    await asyncio.to_thread(clients.asked.wait)
    # It is not waited for, which would hold up the event loop.
    await transport.close()
    closed_early = clients.closed
    clients.go_on.set()
    with pytest.raises(TransportError, match=CLOSED):
        await call
    assert (closed_early, clients.closed) == (0, 1)
