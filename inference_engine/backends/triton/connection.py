"""The one gRPC channel to a Triton server, and the calls over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import grpc
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...errors import BackendError, BackendLostError
from .wire import MESSAGE_MAX_BYTES, Description, description_of, is_lost, until

#: A health check that takes longer than this has failed, in seconds.
HEALTH_TIMEOUT_SECONDS = 2.0
#: How long a call may take that only reads or starts something, in seconds.
CONTROL_TIMEOUT_SECONDS = 30.0

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    # A restarted sidecar is back within a second; gRPC's own backoff of up to two minutes would keep jobs waiting.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Without it the backoff of a dead connection is shared with every other client of this process.
    ("grpc.use_local_subchannel_pool", 1),
]

T = TypeVar("T")


class TritonConnection:
    """Calls to the server at `url`, any number at once.

    Each call raises BackendLostError where the server does not answer, and InferenceServerException where it refuses,
    unless it says otherwise.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._open_client: InferenceServerClient | None = None

    async def open(self, timeout_seconds: float) -> None:
        """Connect and wait until the server is live. Raises BackendLostError after `timeout_seconds`."""
        if self._open_client is None:
            # grpc.aio binds a channel to the running loop, so it cannot be made in __init__.
            self._open_client = InferenceServerClient(self.url, channel_args=CHANNEL_OPTIONS)
        if not await until(self.healthy, timeout_seconds):
            raise BackendLostError(
                f"no Triton server answers at {self.url} after {timeout_seconds:g} s: "
                "start it, or give its gRPC address (port 8001 by default)"
            )

    async def close(self) -> None:
        """Close the channel; calls in flight raise BackendLostError."""
        client, self._open_client = self._open_client, None
        if client is not None:
            await client.close()

    async def healthy(self) -> bool:
        """Whether the server is live. Never raises.

        Readiness is not checked: unless it runs with `--strict-readiness=false`, a server reports itself not ready while any
        model loads, and forever once one model has failed to load, although it serves all others.
        """
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
                return bool(await self._call(self._client.is_server_live(client_timeout=HEALTH_TIMEOUT_SECONDS)))
        except Exception:
            return False

    async def load(self, label: str, timeout_seconds: float) -> None:
        """Load the model, or load it again if its files changed; returns when it is loaded."""
        await self._call(self._client.load_model(label, client_timeout=timeout_seconds))

    async def unload(self, label: str) -> None:
        """Start to unload the model."""
        await self._call(self._client.unload_model(label, client_timeout=CONTROL_TIMEOUT_SECONDS))

    async def is_ready(self, label: str) -> bool:
        """Whether the model takes jobs."""
        return bool(await self._call(self._client.is_model_ready(label, client_timeout=CONTROL_TIMEOUT_SECONDS)))

    async def describe(self, label: str) -> Description:
        """The server's description of a loaded model."""
        metadata = await self._call(self._client.get_model_metadata(label, client_timeout=CONTROL_TIMEOUT_SECONDS))
        answer = await self._call(self._client.get_model_config(label, client_timeout=CONTROL_TIMEOUT_SECONDS))
        return description_of(metadata, answer.config)

    async def states(self) -> dict[str, frozenset[str]]:
        """For each model in the repository the states of its versions, an empty string where it was never loaded.

        Raises BackendError where the server does not list its repository.
        """
        call = self._client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_SECONDS)
        try:
            index = await self._call(call)
        except InferenceServerException as error:
            raise BackendError(f"Triton at {self.url} does not list its repository: {error.message()}") from error
        states: dict[str, frozenset[str]] = {}
        for model in index.models:
            states[model.name] = states.get(model.name, frozenset()) | {model.state}
        return states

    async def infer(
        self, label: str, inputs: Sequence[InferInput], request_id: str, timeout_seconds: float
    ) -> InferResult:
        """The answer to one request."""
        return await self._call(
            self._client.infer(label, inputs, request_id=request_id, client_timeout=timeout_seconds)
        )

    @property
    def _client(self) -> InferenceServerClient:
        if self._open_client is None:
            raise BackendLostError(f"not connected to Triton at {self.url}: call start() first")
        return self._open_client

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except InferenceServerException as error:
            if is_lost(error):
                raise BackendLostError(f"lost the Triton server at {self.url}: {error.message()}") from error
            raise
        except asyncio.CancelledError:
            if _cancelled_from_outside():
                raise
            raise BackendLostError(f"the connection to Triton at {self.url} was closed") from None
        except grpc.aio.UsageError as error:
            raise BackendLostError(f"the connection to Triton at {self.url} is closed") from error


def _cancelled_from_outside() -> bool:
    """Whether this task was cancelled, rather than the call that it waits for (which closing a channel does)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
