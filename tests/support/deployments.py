"""Deployments of tests: each with names of its own, and quick about everything."""

from __future__ import annotations

import uuid

from inference_engine.aws.provision import provision_now
from inference_engine.aws.transport import aio_available
from inference_engine.deployment import Deployment
from inference_engine.settings import Settings


def connected(settings: Settings) -> Deployment:
    """A deployment as a consumer sees it; on threads where no more is installed than producers need."""
    return Deployment.for_consumer(settings) if aio_available() else Deployment.for_producer(settings)


def with_short_terms(settings: Settings) -> Settings:
    """The same deployment, used with leases and visibility timeouts so short that what was broken heals within seconds."""
    terms = {"visibility_timeout_seconds": 4, "lease_seconds": 4.0, "timeout_seconds": 120.0}
    return settings.model_copy(update=terms)


def provisioned() -> Settings:
    """Settings of a new deployment, which is there when this returns."""
    name = f"t{uuid.uuid4().hex[:8]}"
    settings = Settings(
        prefix=name,
        bucket=f"{name}-payloads",
        wait_time_seconds=1,
        visibility_timeout_seconds=30,
        placement_interval_seconds=0.5,
        placement_idle_seconds=1,
        host_cache_seconds=1,
        poll_max_seconds=0.2,
        timeout_seconds=30,
    )
    provision_now(settings)
    return settings
