"""Where the gateway's settings come from, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from inference_engine.errors import SettingsError
from inference_engine.gateway.settings import GatewaySettings

OWN = "INFERENCE_ENGINE_GATEWAY_"


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("MAX_CONCURRENCY", "7", "max_concurrency", 7),
        ("MAX_QUEUE_SIZE", "8", "max_queue_size", 8),
        ("TASK_TIMEOUT", "9.5", "timeout_seconds", 9.5),
        ("SHUTDOWN_DELAY", "3", "shutdown_delay", 3),
        ("MODEL_REF", "llama", "model_ref", "llama"),
        ("KV_ENDPOINTS", "a:1, b:2,", "kv_endpoints", ("a:1", "b:2")),
    ],
)
def test_settings_answer_to_the_names_of_the_apis_but_to_their_own_first(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, expected: Any
) -> None:
    default = getattr(GatewaySettings(), name)
    monkeypatch.setenv(variable, value)
    assert getattr(GatewaySettings(), name) == expected != default
    monkeypatch.setenv(OWN + name.upper(), "11")
    assert str(getattr(GatewaySettings(), name)).strip("(),'").removesuffix(".0") == "11"
    assert getattr(GatewaySettings(**{name: expected}), name) == expected


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:9000", "0.0.0.0", 9000),
        ("[::1]:9000", "::1", 9000),
        ("localhost:9000", "localhost", 9000),
        (":9000", "0.0.0.0", 9000),
        ("9000", "127.0.0.1", 9000),
        ("", "127.0.0.1", 8000),
    ],
)
def test_the_address_may_be_one_variable(monkeypatch: pytest.MonkeyPatch, address: str, host: str, port: int) -> None:
    monkeypatch.setenv("HTTP_SERVER_ADDRESS", address)
    assert (GatewaySettings().host, GatewaySettings().port) == (host, port)
    monkeypatch.setenv(f"{OWN}PORT", "9001")
    assert (GatewaySettings().host, GatewaySettings().port) == (host, 9001)
    assert GatewaySettings(host="127.0.0.2").host == "127.0.0.2"


def test_a_port_of_all_addresses_needs_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_SERVER_ADDRESS", ":9000")
    assert GatewaySettings().keys_required
    monkeypatch.setenv(f"{OWN}REQUIRE_KEYS", "false")
    with pytest.raises(SettingsError, match=r"host '0\.0\.0\.0' is not loopback"):
        GatewaySettings()


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MAX_CONCURRENCY": "0"}, r"max_concurrency \(MAX_CONCURRENCY\) = '0': "),
        ({f"{OWN}MAX_CONCURRENCY": "0"}, rf"max_concurrency \({OWN}MAX_CONCURRENCY\) = '0': "),
        ({f"{OWN}MAX_CONCURRENCY": "0", "MAX_CONCURRENCY": "5"}, rf"\({OWN}MAX_CONCURRENCY\) = '0': "),
        ({"SHUTDOWN_DELAY": "soon"}, r"shutdown_delay \(SHUTDOWN_DELAY\) = 'soon': "),
        ({"HTTP_SERVER_ADDRESS": "127.0.0.1:http"}, r"port \(HTTP_SERVER_ADDRESS\) = 'http': "),
        ({f"{OWN}BODY_MAX_BYTES": "0"}, rf"body_max_bytes \({OWN}BODY_MAX_BYTES\) = '0': "),
        ({"TASK_TIMEOUT": "4000"}, "timeout_seconds is greater than timeout_max_seconds"),
        ({f"{OWN}HOST": "0.0.0.0", f"{OWN}REQUIRE_KEYS": "false"}, "invalid settings: require_keys is false"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        GatewaySettings()


@pytest.mark.parametrize(
    ("host", "required"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("gateway", True),
    ],
)
def test_keys_are_required_wherever_others_can_reach_it(host: str, required: bool) -> None:
    assert GatewaySettings(host=host).keys_required is required
    assert GatewaySettings(host=host, require_keys=True).keys_required
