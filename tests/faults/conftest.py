"""Fault tests need terms so short that what was broken heals within seconds."""

from __future__ import annotations

import pytest

from inference_engine.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The test's deployment, used with short leases and visibility timeouts."""
    terms = {"visibility_timeout_seconds": 4, "lease_seconds": 4.0, "timeout_seconds": 120.0}
    return settings.model_copy(update=terms)
