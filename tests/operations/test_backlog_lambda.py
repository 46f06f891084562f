"""The backlog function as it is uploaded, with a thousand labels that have work."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from inference_engine.aws.queues import OutgoingMessage
from inference_engine.deployment import Deployment
from inference_engine.jobs.job import Job
from tests.support.lambdas import function

pytestmark = pytest.mark.acceptance

LABELS = 1000


async def send_one(deployment: Deployment, label: str) -> None:
    """A job whose producer has sent a load request."""
    job = Job(label=label, request_id="r", body="1", submitted_at=0.0)
    await deployment.queues.send(await deployment.queues.of_label(label), OutgoingMessage(job.encode(), label, label))
    await deployment.waiting.record(label)


async def test_a_thousand_labels_with_work(deployment: Deployment, lambda_zips: dict[str, Path]) -> None:
    await asyncio.gather(*(send_one(deployment, f"label-{number}") for number in range(LABELS)))
    with function("backlog-metrics", lambda_zips["backlog_metrics"], deployment.settings) as client:
        answer = await asyncio.to_thread(client.invoke, FunctionName=f"{deployment.settings.prefix}-backlog-metrics")
        measures = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, measures
    assert measures["active_labels"] == measures["unserved_labels"] == measures["jobs_visible"] == LABELS
    assert measures["requires_consumer"] == 1
