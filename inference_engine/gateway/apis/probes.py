"""The checks behind all APIs' probes: whether the gateway is alive, and whether it accepts requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..http.problems import Problem, later

if TYPE_CHECKING:
    from ..dispatch.service import Service

__all__ = ["HEALTH_PATHS", "check_live", "check_ready"]

#: The probe routes of all APIs: of the Open Inference Protocol, the router, the serving agent and the dispatcher.
HEALTH_PATHS = ("/v2/health/live", "/v2/health/ready", "/healthz", "/readyz", "/live", "/ready", "/health")

#: Retry-After of a gateway that is not ready.
RETRY_SECONDS = 5.0


def check_live(service: Service) -> None:
    """Raises Problem 503 where the process should be replaced."""
    if not service.live:
        raise Problem(503, "not-live", "the gateway no longer works and must be restarted")


def check_ready(service: Service) -> None:
    """Raises Problem 503 where requests would be rejected.

    A paused gateway is ready: it still reports on jobs, and a platform would replace one that is not ready.
    """
    if not service.ready:
        raise later(503, "not-ready", "the gateway is shutting down, or AWS does not respond to it", RETRY_SECONDS)
