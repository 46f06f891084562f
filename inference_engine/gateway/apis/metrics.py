"""The gateway's metrics for Prometheus: requests by route and status, and flow control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from ..dispatch.service import Service
from .dependencies import CallerOf

#: From an answer out of memory to a job that waited for a model to be loaded.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXAMPLE = """\
# HELP inference_engine_gateway_in_flight requests whose jobs are in flight
# TYPE inference_engine_gateway_in_flight gauge
inference_engine_gateway_in_flight 4.0
"""
#: The route of requests that matched no route, rejected ones included: callers' paths must not become names of series.
NO_ROUTE = "none"

router = APIRouter(tags=["Gateway"])


class GatewayMetrics:
    """What is counted here, labelled only with route names and codes, so that the number of series is bounded."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "inference_engine_gateway_requests",
            "answered requests",
            ("route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "inference_engine_gateway_request_seconds",
            "seconds from a request's headers to the end of its response",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_FlowControl(service))

    def answered(self, route: str, status: int) -> None:
        """Count a request that a route or a guard answers; one whose caller leaves before is not counted."""
        self.requests.labels(route or NO_ROUTE, str(status)).inc()

    def ended(self, route: str, seconds: float) -> None:
        """Time a request that was answered."""
        self.seconds.labels(route or NO_ROUTE).observe(seconds)


class _FlowControl(Collector):
    """Reads flow control when Prometheus asks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        stats = self._service.flow_stats()
        waiting = GaugeMetricFamily(
            "inference_engine_gateway_waiting", "requests waiting for their turn", labels=["priority"]
        )
        for band in stats.bands:
            waiting.add_metric([str(band.priority)], band.requests)
        yield waiting
        yield GaugeMetricFamily(
            "inference_engine_gateway_in_flight", "requests whose jobs are in flight", stats.in_flight
        )
        outcomes = CounterMetricFamily(
            "inference_engine_gateway_outcomes", "how waits for a turn ended", labels=["outcome"]
        )
        for outcome, count in stats.outcomes.items():
            outcomes.add_metric([outcome], count)
        yield outcomes


def _metrics(request: Request) -> GatewayMetrics:
    metrics: GatewayMetrics = request.app.state.metrics
    return metrics


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text format",
            "content": {CONTENT_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}},
        },
    },
)
async def metrics(caller: CallerOf, metrics: Annotated[GatewayMetrics, Depends(_metrics)]) -> Response:
    """Requests by route and status, waiting requests by priority, outcomes. Needs an operator's key where keys are required."""
    caller.check_operator()
    return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE})
