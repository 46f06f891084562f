"""CloudWatch and ECS: the metrics for autoscaling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..aws.transport import Transport
from ..errors import TransportError
from .backlog import Measures

log = logging.getLogger(__name__)

#: The dimension of all metrics: one deployment, by its prefix.
DIMENSION = "Deployment"


class Scaling:
    """Publishes measures and reads the services' desired task count."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def desired_tasks(self, cluster: str, services: Sequence[str]) -> int | None:
        """The total desired task count of up to ten services; None, with a warning, if ECS does not report it."""
        try:
            answer = await self._transport.call("ecs", "describe_services", cluster=cluster, services=list(services))
        except TransportError as error:
            log.warning("desired count unknown: %s", error)
            return None
        if len(answer["services"]) < len(services):
            log.warning("desired count unknown: cluster %s lacks one of the services %s", cluster, services)
            return None
        return sum(int(service["desiredCount"]) for service in answer["services"])

    async def publish(self, namespace: str, deployment: str, measures: Measures) -> None:
        """Publish all measures in one request (API Reference, PutMetricData: up to 1,000 metrics). Raises TransportError."""
        await self._transport.call(
            "cloudwatch", "put_metric_data", Namespace=namespace, MetricData=metric_data(deployment, measures)
        )


def metric_data(deployment: str, measures: Measures) -> list[dict[str, Any]]:
    """The measures in CloudWatch's form: `oldest_job_age_seconds` becomes `OldestJobAgeSeconds`."""
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
