"""CloudWatch and ECS: what autoscaling goes by."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from ..backlog import Measures
from ..errors import TransportError
from .session import Transport

log = logging.getLogger(__name__)

#: The dimension of all metrics: one deployment, by its prefix.
DIMENSION = "Deployment"


class Scaling:
    """Publishes measures, and tells how many tasks the service was asked for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def desired_tasks(self, cluster: str, service: str) -> int | None:
        """The service's desired count; None, with a warning, where ECS does not tell."""
        try:
            answer = await self._transport.call("ecs", "describe_services", cluster=cluster, services=[service])
        except TransportError as error:
            log.warning("desired count unknown: %s", error)
            return None
        if not answer["services"]:
            log.warning("desired count unknown: no service %s in cluster %s", service, cluster)
            return None
        return int(answer["services"][0]["desiredCount"])

    async def publish(self, namespace: str, deployment: str, measures: Measures) -> None:
        """All measures in one request (API Reference, PutMetricData: up to 1,000 metrics)."""
        await self._transport.call(
            "cloudwatch", "put_metric_data", Namespace=namespace, MetricData=metric_data(deployment, measures)
        )


def metric_data(deployment: str, measures: Measures) -> list[dict[str, Any]]:
    """The measures as CloudWatch takes them: `oldest_job_age_seconds` is `OldestJobAgeSeconds`."""
    dimensions = [{"Name": DIMENSION, "Value": deployment}]
    return [
        {
            "MetricName": "".join(part.capitalize() for part in name.split("_")),
            "Dimensions": dimensions,
            "Value": float(value),
            "Unit": "Seconds" if "seconds" in name else "Count",
        }
        for name, value in asdict(measures).items()
    ]
