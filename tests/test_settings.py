"""Settings: from the environment, checked, and told of by name when they are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from inference_engine.errors import SettingsError
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.settings import Settings, WebhookSettings, unknown_variables


def test_names_follow_the_prefix() -> None:
    settings = Settings(prefix="p")
    assert (settings.jobs_table, settings.registry_table) == ("p-jobs", "p-registry")
    assert Settings(prefix="p", jobs_table="mine").jobs_table == "mine"
    assert Settings(prefix="p", jobs_table="").jobs_table == "p-jobs"


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_PREFIX", "env")
    monkeypatch.setenv("INFERENCE_ENGINE_CELLS", "3")
    monkeypatch.setenv("INFERENCE_ENGINE_BUCKET", "")
    settings = Settings()
    assert (settings.prefix, settings.cells, settings.bucket, settings.jobs_table) == ("env", 3, None, "env-jobs")
    assert Settings(prefix="given").prefix == "given"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"wait_time_seconds": 21}, ["wait_time_seconds", "INFERENCE_ENGINE_WAIT_TIME_SECONDS", "21"]),
        ({"timeout_seconds": 0}, ["timeout_seconds"]),
        ({"timeout_seconds": float("nan")}, ["timeout_seconds"]),
        ({"visibility_timeout_seconds": 2}, ["visibility_timeout_seconds"]),
        ({"max_receive_count": 1}, ["max_receive_count"]),
        ({"body_inline_max_bytes": 1_000_000}, ["body_inline_max_bytes"]),
        ({"cells": "many"}, ["cells", "many"]),
        ({"cells": 2, "cell": 2}, ["cell 2", "cells=2"]),
        ({"prefix": "with space"}, ["prefix", "with space"]),
        ({"prefix": "p" * 41}, ["prefix"]),
        ({"poll_min_seconds": 2.0}, ["poll_min_seconds"]),
        ({"no_such_setting": 1}, ["no_such_setting"]),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert all(word in str(caught.value) for word in words)


def test_misspelt_variables_are_told_of_by_those_who_would_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "INFERENCE_ENGINE_VISIBILITY_TIMEOUT",
        "INFERENCE_ENGINE_GATEWAY_MAX_QUEUE",
        "INFERENCE_ENGINE_GATEWAY_PORT",
        "INFERENCE_ENGINE_CACHE",
        "INFERENCE_ENGINE_BUCKET",
        "INFERENCE_ENGINE_WEBHOOKS_XYZZY",
    ):
        monkeypatch.setenv(variable, "1")
    assert list(unknown_variables(Settings)) == [
        "INFERENCE_ENGINE_VISIBILITY_TIMEOUT is not a setting and has no effect; "
        "did you mean INFERENCE_ENGINE_VISIBILITY_TIMEOUT_SECONDS?"
    ]
    [of_gateway] = unknown_variables(GatewaySettings)
    assert "did you mean INFERENCE_ENGINE_GATEWAY_MAX_QUEUE_SIZE?" in of_gateway
    [of_webhooks] = unknown_variables(WebhookSettings)
    assert of_webhooks.startswith("INFERENCE_ENGINE_WEBHOOKS_XYZZY is not a setting")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().prefix = "other"  # type: ignore[misc]


def test_one_heartbeat_may_be_missed() -> None:
    settings = Settings(visibility_timeout_seconds=30)
    assert settings.heartbeat_seconds * 3 == 30


def test_large_results_go_to_a_bucket_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().result_inline_max_bytes == 300_000
    assert Settings(bucket="b").result_inline_max_bytes == 32_768
    assert Settings(bucket="b", result_inline_max_bytes=5).result_inline_max_bytes == 5
    monkeypatch.setenv("INFERENCE_ENGINE_BUCKET", "b")
    assert Settings().result_inline_max_bytes == 32_768
    monkeypatch.setenv("INFERENCE_ENGINE_RESULT_INLINE_MAX_BYTES", "7")
    assert Settings().result_inline_max_bytes == 7
