"""AWS in memory behind the library's own transport: every call takes virtual time and is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from botocore.exceptions import ClientError

from inference_engine.aws import transport
from inference_engine.aws.transport import Service
from inference_engine.deployment import Deployment
from inference_engine.settings import Settings

from .queue_service import QueueService
from .tables import TableService

#: Latency of a call within a Region. A call takes effect at once, so every answer is this old when it arrives.
LATENCY_SECONDS = 0.005


class Account:
    """The queues and tables of one deployment."""

    def __init__(self, latency_seconds: float = LATENCY_SECONDS) -> None:
        self.latency_seconds = latency_seconds
        self.queues = QueueService()
        self.tables = TableService()

    def connect(
        self, settings: Settings, calls: Counter[tuple[str, str]] | None = None
    ) -> tuple[Deployment, Connection]:
        """The library's view of this account through a separate connection."""
        connection = Connection(self, Counter() if calls is None else calls)
        return Deployment.over(settings, connection), connection


class Connection:
    """The transport of one process. `calls` counts by operation and subject."""

    def __init__(self, account: Account, calls: Counter[tuple[str, str]]) -> None:
        self._account = account
        self.calls = calls
        self._is_cut = False

    def cut(self) -> None:
        """The process dies: nothing that it still does reaches AWS, and nothing from AWS reaches it.

        Its tasks end at their next call, or with the answer that they wait for. A message that a pending long poll receives
        stays hidden for its visibility timeout, like a message that AWS sends to a broken connection.
        """
        self._is_cut = True

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        """Like the library's own transports; see `Transport`."""
        self._check_alive()
        self.calls[operation, _subject(parameters)] += 1
        provider = self._account.queues if service == "sqs" else self._account.tables
        try:
            answer = getattr(provider, operation)(**parameters)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except ClientError as error:
            await self._travel()
            raise transport.translate(service, operation, parameters, error) from error
        await self._travel()
        return answer  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Nothing to close."""

    async def _travel(self) -> None:
        await asyncio.sleep(self._account.latency_seconds)
        self._check_alive()

    def _check_alive(self) -> None:
        if self._is_cut:
            raise asyncio.CancelledError("the process is dead")


def _subject(parameters: dict[str, Any]) -> str:
    """placement, jobs (queues of labels), registry or records (job records)."""
    if queue := parameters.get("QueueUrl") or parameters.get("QueueName"):
        return "placement" if "-placement" in queue else "jobs"
    return "registry" if parameters.get("TableName", "").endswith("registry") else "records"
