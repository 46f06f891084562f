"""The transport to AWS: one `call`, on boto3 in threads or on aioboto3.

Both use botocore's "standard" retries, which repeat calls with backoff and jitter after throttling, server errors and broken
connections (AWS SDKs and Tools Reference Guide, "Retry behavior"). Every call made through this module is safe to repeat.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from ..errors import NotProvisionedError, TransportError

log = logging.getLogger(__name__)

Service = Literal["sqs", "dynamodb", "s3", "cloudwatch", "ecs", "ssm", "dynamodbstreams"]

#: Attempts before a call fails; with backoff of up to 20 s each, they outlast a minute of throttling.
MAX_TRIES = 10
CONNECT_TIMEOUT_SECONDS = 5
#: Longer than the longest long poll (20 s), so that an empty poll is never mistaken for a dead connection.
READ_TIMEOUT_SECONDS = 40

_NOT_THERE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "NoSuchBucket",
        "NoSuchKey",
        "ParameterNotFound",
        "404",
    }
)


def misconfigured(error: TransportError) -> bool:
    """Whether a call failed because the region or the credentials are missing, which a retry cannot fix."""
    return isinstance(error.__cause__, NoRegionError | NoCredentialsError | PartialCredentialsError | ProfileNotFound)


class Transport(Protocol):
    """What the rest of `aws/` needs to talk to AWS."""

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call one operation, named as in boto3, and return the parsed answer.

        Raises NotProvisionedError where the resource is missing, TransportError for every other failure and after `close`.
        CancelledError means that the caller's own task was cancelled, never that the transport was closed.
        """

    async def close(self) -> None:
        """Close all connections; may be called again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is tried, and how long it waits for an answer (seconds)."""

    tries: int = MAX_TRIES
    read_seconds: float = READ_TIMEOUT_SECONDS


#: For Lambdas that are invoked again within the minute: better to end with what is known than to be killed.
SHORT = RetryPolicy(tries=3, read_seconds=5)
#: For a waiting person: an endpoint where nothing listens must be reported within seconds.
BRIEF = RetryPolicy(tries=4)


def client_config(connections: int, retries: RetryPolicy) -> Config:
    """botocore's settings for a client that makes up to `connections` calls at once."""
    return Config(
        retries={"mode": "standard", "total_max_attempts": retries.tries},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=retries.read_seconds,
        max_pool_connections=connections,
        s3={"addressing_style": _addressing_style()},
        # The library itself makes all parameters; validating them again costs a tenth of a call.
        parameter_validation=False,
    )


def _addressing_style() -> str:
    """How S3 addresses a bucket: emulators need it in the path, AWS prefers it in the host name (S3 User Guide)."""
    return "path" if os.environ.keys() & {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} else "auto"


def region_of_environment() -> str | None:
    """`AWS_REGION`, which all AWS SDKs except boto3 read; None leaves it to boto3 (`AWS_DEFAULT_REGION`, profile)."""
    return os.environ.get("AWS_REGION") or None


def error_code(error: BaseException) -> str:
    """AWS's code for an error that a `call` raised, or ''."""
    cause = error.__cause__ if isinstance(error, TransportError) else error
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""


def translate(service: Service, operation: str, parameters: dict[str, Any], error: Exception) -> TransportError:
    """The library's error for one of botocore's, naming the operation and the resource."""
    named = ("QueueUrl", "QueueName", "TableName", "Key")
    target = next((f" ({key}={parameters[key]})" for key in named if key in parameters), "")
    if "RequestItems" in parameters:
        target = f" ({', '.join(parameters['RequestItems'])})"
    elif "Statements" in parameters:
        target = f" ({parameters['Statements'][0]['Statement'][:60]}…)"
    text = f"{service} {operation}{target} failed: {error}"
    if isinstance(error, ClientError) and error_code(error) in _NOT_THERE:
        return NotProvisionedError(
            f"{text}; create it (`terraform apply`, or `inference-engine local up`) or set its name"
        )
    if isinstance(error, NoRegionError):
        text += ' Set AWS_REGION; for the local stack, run eval "$(inference-engine local env)"'
    if isinstance(error, EndpointConnectionError) and (endpoint := os.environ.get("AWS_ENDPOINT_URL")):
        text += (
            f" Nothing listens at AWS_ENDPOINT_URL={endpoint}: run `inference-engine local up`, or unset the variable"
        )
    return TransportError(text)


class ThreadTransport:
    """boto3 clients on a thread pool: all that a producer needs.

    Clients are made on first use and shared by the threads, which boto3 documents as safe. A thread cannot be interrupted: a
    call that it has begun runs to its end, even after `close`.
    """

    def __init__(self, *, region: str | None = None, threads: int = 16, retries: RetryPolicy = RetryPolicy()) -> None:
        self._region = region or region_of_environment()
        self._retries = retries
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference-engine-aws")
        self._clients: dict[Service, Any] = {}
        self._lock = threading.Lock()
        self._closed = False

    def _client(self, service: Service, operation: str) -> Any:
        with self._lock:
            if self._closed:
                raise _closed(service, operation)
            if service not in self._clients:
                import boto3

                session = boto3.Session(region_name=self._region)
                client = session.client(service, config=client_config(self._threads, self._retries))
                self._clients[service] = client
                if self._closed:
                    client.close()
                    raise _closed(service, operation)
            return self._clients[service]

    def _call(self, service: Service, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self._client(service, operation), operation)(**parameters)
        if operation == "get_object":
            answer["Body"] = answer["Body"].read()
        return answer

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        asked = _times_cancelled()
        try:
            return await self._begun(service, operation, parameters)
        except asyncio.CancelledError:
            # `close` cancels calls that wait for a thread, but not the tasks that wait for those calls.
            if not self._closed or _times_cancelled() > asked:
                raise
            raise _closed(service, operation) from None
        except (ClientError, BotoCoreError) as error:
            raise translate(service, operation, parameters, error) from error

    def _begun(self, service: Service, operation: str, parameters: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._pool, partial(self._call, service, operation, parameters))
        except RuntimeError:
            # The pool raises this when it is shut down, and also when it cannot start a thread.
            if not self._closed:
                raise
            raise _closed(service, operation) from None

    async def close(self) -> None:
        """Fail calls that wait for a thread with TransportError, and close all connections."""
        # Making a client may take seconds. This does not wait for such a thread, which sees the flag and closes its client.
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in list(self._clients.values()):
            client.close()


def _times_cancelled() -> int:
    """How many cancellations of the running task are pending."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


class AioTransport:
    """aioboto3 clients on the running loop: for consumers and asyncio applications."""

    def __init__(self, *, region: str | None = None, connections: int = 64) -> None:
        self._region = region or region_of_environment()
        self._connections = connections
        self._stack = AsyncExitStack()
        self._clients: dict[Service, Any] = {}
        self._lock = asyncio.Lock()
        self._calls: set[asyncio.Timeout] = set()
        self._closed = False

    async def _client(self, service: Service) -> Any:
        if service in self._clients:
            return self._clients[service]
        async with self._lock:
            if service not in self._clients:
                import aioboto3

                session = aioboto3.Session(region_name=self._region)
                context = session.client(service, config=client_config(self._connections, RetryPolicy()))
                self._clients[service] = await self._stack.enter_async_context(context)
            return self._clients[service]

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        if self._closed:
            raise _closed(service, operation)
        try:
            # No time limit: only `close` ends it.
            async with asyncio.timeout(None) as calling:
                self._calls.add(calling)
                try:
                    return await self._answer(await self._client(service), operation, parameters)
                finally:
                    self._calls.discard(calling)
        except TimeoutError:
            if not calling.expired():
                raise
            raise _closed(service, operation) from None
        except (ClientError, BotoCoreError) as error:
            raise translate(service, operation, parameters, error) from error

    async def _answer(self, client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(client, operation)(**parameters)
        if operation == "get_object":
            async with answer["Body"] as stream:
                answer["Body"] = await stream.read()
        return answer

    async def close(self) -> None:
        """Fail calls in progress with TransportError, and close all connections."""
        self._closed = True
        # aiobotocore opens connections when it sends: a call that continued or was retried would leave new ones open.
        now = asyncio.get_running_loop().time()
        while self._calls:
            for calling in self._calls:
                if not calling.expired():
                    calling.reschedule(now)
            await asyncio.sleep(0)
        self._clients.clear()
        await self._stack.aclose()


def _closed(service: Service, operation: str) -> TransportError:
    return TransportError(f"{service} {operation} failed: the connection to AWS is closed")


def aio_available() -> bool:
    """Whether the `async` extra is installed."""
    from importlib.util import find_spec

    return find_spec("aioboto3") is not None


async def pages(
    transport: Transport, service: Service, operation: str, *, token: str, start: str, **parameters: Any
) -> AsyncIterator[dict[str, Any]]:
    """Yield all pages of an operation that returns the next page's token under `token` and takes it as `start`."""
    while True:
        answer = await transport.call(service, operation, **parameters)
        yield answer
        if not answer.get(token):
            return
        parameters[start] = answer[token]
