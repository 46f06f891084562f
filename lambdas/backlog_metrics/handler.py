"""Each minute: publishes how much work waits, for autoscaling, and requests a load for every label with work and no holder."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import asdict
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from inference_engine.deployment import Deployment
from inference_engine.operations.activity import Activity, read_activity
from inference_engine.operations.backlog import LabelWork, Measures, label_seconds, measure, tasks
from inference_engine.operations.scaling import Scaling
from inference_engine.settings import Settings

log = logging.getLogger(__name__)

#: How many labels are logged with their numbers, those with most work first; metrics by label would cost more than the jobs.
LABELS_LOGGED = 50


class BacklogSettings(BaseSettings):
    """Settings of this function alone; environment variables INFERENCE_ENGINE_BACKLOG_…"""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_ENGINE_BACKLOG_", env_ignore_empty=True, frozen=True)

    namespace: str = "InferenceEngine"
    target_seconds: float = Field(60.0, gt=0, description="target backlog per task")
    sweep_queues: int = Field(
        100, ge=0, le=1000, description="how many further queues, out of all of them, each run reads"
    )
    ecs_cluster: str | None = None
    ecs_service: str | None = Field(
        None, description="the service; with several cells, their services, separated by commas"
    )


class BacklogMetrics:
    """The function's state between invocations: connections, and queue URLs."""

    def __init__(self, deployment: Deployment, settings: BacklogSettings) -> None:
        self._deployment = deployment
        self._settings = settings
        self._scaling = Scaling(deployment.transport)

    async def run(self) -> dict[str, Any]:
        """Read the activity, publish the measures, request loads and tidy up; returns the measures."""
        began = time.monotonic()
        activity, desired = await asyncio.gather(
            read_activity(self._deployment, sweep_queues=self._settings.sweep_queues), self._desired_tasks()
        )
        measures = measure(
            activity.labels,
            tasks(activity.fleet, activity.at, desired),
            target_seconds=self._settings.target_seconds,
            failing_labels=len(activity.failures),
            now=activity.at,
        )
        print(json.dumps(_log_record(activity, measures, time.monotonic() - began)))
        # The measures that scaling needs come first; one label's refused request must not lose them.
        await self._scaling.publish(self._settings.namespace, self._deployment.settings.prefix, measures)
        tidied = await asyncio.gather(
            *(self._deployment.load_requests.send(label) for label in activity.to_request()),
            *(self._deployment.waiting.served(row) for row in activity.served()),
            return_exceptions=True,
        )
        for error in tidied:
            if isinstance(error, BaseException):
                log.warning("load request not sent, or waiting row not cleaned up: %s", error)
        return asdict(measures)

    async def _desired_tasks(self) -> int | None:
        if not (self._settings.ecs_cluster and self._settings.ecs_service):
            return None
        return await self._scaling.desired_tasks(self._settings.ecs_cluster, self._settings.ecs_service.split(","))


def _log_record(activity: Activity, measures: Measures, seconds: float) -> dict[str, Any]:
    active = [work for work in activity.labels if work.jobs]
    costs = sorted(zip(label_seconds(activity.labels), active, strict=True), key=lambda pair: -pair[0])
    return {
        "message": "backlog",
        **asdict(measures),
        "labels": [_label_record(work, cost, activity.at) for cost, work in costs[:LABELS_LOGGED]],
        "failures": [asdict(failure) for failure in activity.failures[:LABELS_LOGGED]],
        "asked": len(activity.labels),
        "seconds": round(seconds, 3),
    }


def _label_record(work: LabelWork, cost: float, now: float) -> dict[str, Any]:
    age = round(now - work.oldest_at, 1) if work.oldest_at is not None else None
    return {
        "label": work.label,
        "visible": work.visible,
        "in_flight": work.in_flight,
        "hosts": work.holders,
        "lanes": work.lanes,
        "backlog_seconds": round(cost, 3),
        "busy": round(work.busy, 3),
        "oldest_job_age_seconds": age,
    }


_loop: asyncio.AbstractEventLoop | None = None
_function: BacklogMetrics | None = None


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The Lambda's entry point. A warm function keeps its connections, and with them its event loop."""
    global _loop, _function
    if _loop is None or _function is None:
        _loop = asyncio.new_event_loop()
        _function = BacklogMetrics(Deployment.for_function(Settings()), BacklogSettings())
    return _loop.run_until_complete(_function.run())
