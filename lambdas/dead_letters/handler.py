"""Handles messages of the dead-letter queue: their jobs end as ERROR, and the messages are kept for redrive."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from inference_engine.dead_letters.handler import Buried
from inference_engine.dead_letters.store import DeadMessage
from inference_engine.deployment import Deployment
from inference_engine.logs import metric_record
from inference_engine.settings import Settings

#: The namespace of all metrics of a deployment, and the variable that renames it.
NAMESPACE = "InferenceEngine"
NAMESPACE_VARIABLE = "INFERENCE_ENGINE_BACKLOG_NAMESPACE"

_loop: asyncio.AbstractEventLoop | None = None
_deployment: Deployment | None = None


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The Lambda's entry point; a warm function keeps its connections, and with them its event loop.

    Needs an event source mapping with ReportBatchItemFailures: the answer names the messages that failed. They come again, and
    may have been handled in part.
    """
    global _loop, _deployment
    if _loop is None or _deployment is None:
        _loop = asyncio.new_event_loop()
        _deployment = Deployment.for_function(Settings())
    messages = [DeadMessage.of_event(record) for record in event["Records"]]
    buried = _loop.run_until_complete(_deployment.dead_letters.bury(messages))
    namespace = os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE
    print(json.dumps(buried_record(buried, namespace, _deployment.settings.prefix, time.time())))
    return {"batchItemFailures": [{"itemIdentifier": message.message_id} for message in buried.failed]}


def buried_record(buried: Buried, namespace: str, deployment: str, now: float) -> dict[str, Any]:
    """The outcome of a batch, as metrics and by name; failed messages are no error of the function, and come again forever."""
    counts = {"DeadLetters": len(buried.dead_letters), "DeadLettersFailed": len(buried.failed)}
    letters = [{"message_id": one.message_id, "label": one.label, "reason": one.reason} for one in buried.dead_letters]
    failed = [message.sent_id for message in buried.failed]
    return metric_record(namespace, deployment, counts, now, letters=letters, failed=failed)
