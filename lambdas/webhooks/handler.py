"""Webhooks: puts status changes of jobs on the queue of deliveries, and delivers from it. Two event sources, one function."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from inference_engine.deployment import Deployment
from inference_engine.logs import metric_record
from inference_engine.settings import Settings, WebhookSettings
from inference_engine.webhooks.delivery import Courier, DeliveryOutcome, delivery_id
from inference_engine.webhooks.outbox import Outbox
from inference_engine.webhooks.queue import WebhookMessage, WebhookQueue
from inference_engine.webhooks.secret import Secret

#: The namespace of all metrics of a deployment, and the variable that renames it.
NAMESPACE = "InferenceEngine"
NAMESPACE_VARIABLE = "INFERENCE_ENGINE_BACKLOG_NAMESPACE"
STREAM_SOURCE = "aws:dynamodb"


class Webhooks:
    """The function's state between invocations: connections, threads, the secret."""

    def __init__(self, settings: Settings, webhooks: WebhookSettings) -> None:
        deployment = Deployment.for_function(settings)
        queue = WebhookQueue(deployment.transport, deployment.queues, settings.prefix)
        self._deployment = settings.prefix
        self._outbox = Outbox(queue)
        self._courier = Courier(queue, Secret(deployment.transport, webhooks), webhooks)

    async def run(self, records: list[dict[str, Any]]) -> list[str]:
        """Handle a batch of either source; returns the identifiers of what must come again."""
        if records[0]["eventSource"] == STREAM_SOURCE:
            failed = await self._outbox.put(records)
            return [failed["dynamodb"]["SequenceNumber"]] if failed else []
        outcome = await self._courier.deliver([WebhookMessage.of_event(record) for record in records])
        namespace = os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE
        print(json.dumps(outcome_record(outcome, namespace, self._deployment, time.time())))
        return [message.message_id for message in outcome.failed]


_loop: asyncio.AbstractEventLoop | None = None
_function: Webhooks | None = None


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The Lambda's entry point; a warm function keeps its connections, and with them its event loop.

    Needs event source mappings with ReportBatchItemFailures. Lambda repeats a stream's batch from the named record
    on (Developer Guide, "Configuring partial batch response with DynamoDB and Lambda").
    """
    global _loop, _function
    if _loop is None or _function is None:
        _loop = asyncio.new_event_loop()
        _function = Webhooks(Settings(), WebhookSettings())
    failed = _loop.run_until_complete(_function.run(event["Records"]))
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def outcome_record(outcome: DeliveryOutcome, namespace: str, deployment: str, now: float) -> dict[str, Any]:
    """The outcome of a batch, as metrics and by name. A delivery that fails and succeeds later counts as delivered then."""
    counts = {"WebhooksDelivered": len(outcome.delivered), "WebhooksFailed": len(outcome.failed)}
    return metric_record(
        namespace,
        deployment,
        counts,
        now,
        gone=[delivery_id(message) for message in outcome.gone],
        failed=[delivery_id(message) for message in outcome.failed],
    )
