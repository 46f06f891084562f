"""What the gateway says at its start of the router's variables."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from inference_engine import Settings
from inference_engine.deployment import Deployment
from inference_engine.gateway.apis import router
from inference_engine.gateway.apis.router import masked
from inference_engine.gateway.app import create_app
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.settings import GatewaySettings


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("kv-0:6379", "kv-0:6379"),
        ("redis://kv-0:6379/1", "redis://kv-0:6379/1"),
        ("redis://me:secret@kv-0:6379", "redis://…@kv-0:6379"),
        ("me:secret@kv-0:6379", "…@kv-0:6379"),
        ("redis://:s@cr/et@kv-0:6379", "redis://…@kv-0:6379"),
        ("redis://:s@cr/e?t@kv-0:6379", "redis://…"),
        ("redis://kv-0:6379?password=p@ssw0rd", "redis://…"),
        ("redis://kv-0:6379?password=secret&db=1", "redis://kv-0:6379?…"),
    ],
)
def test_endpoints_are_told_without_their_secrets(endpoint: str, told: str) -> None:
    assert masked(endpoint) == told


@given(st.text(), st.sampled_from(["", "redis://", "https://"]))
def test_no_password_is_told_whatever_it_is_made_of(password: str, scheme: str) -> None:
    address = "" if "?" in password else "@kv-0:6379/1"
    assert masked(f"{scheme}me:{password}@kv-0:6379/1") == f"{scheme}…{address}"


@given(st.text(), st.sampled_from(["", "redis://", "https://"]))
def test_no_query_is_told_whatever_it_is_made_of(query: str, scheme: str) -> None:
    assert masked(f"{scheme}kv-0:6379?{query}") == (f"{scheme}…" if "@" in query else f"{scheme}kv-0:6379?…")


def started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, **options: object) -> list[str]:
    """What a gateway's router logs at its start."""

    async def nothing(*_: object) -> None:
        """No AWS."""

    monkeypatch.setattr(Service, "__aenter__", nothing)
    monkeypatch.setattr(Service, "__aexit__", nothing)
    caplog.set_level(logging.INFO)
    with TestClient(create_app(Service(Deployment.for_producer(Settings()), GatewaySettings(**options)))):
        pass
    return [record.getMessage() for record in caplog.records if record.name == router.__name__]


def test_the_variables_are_told_once_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"model_ref": "chat", "max_concurrency": 7, "kv_endpoints": ("kv-0:1", "redis://me:secret@kv-1:1")}
    (told,) = started(monkeypatch, caplog, **options)
    assert "label chat (MODEL_REF); MAX_CONCURRENCY of all APIs: 7; " in told
    assert told.endswith("KV_ENDPOINTS: kv-0:1, redis://…@kv-1:1")


def test_without_a_model_nothing_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert started(monkeypatch, caplog, kv_endpoints=("kv-0:1",)) == []
