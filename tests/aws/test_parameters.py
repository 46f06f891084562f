"""What Terraform deployed is found by the environment's name."""

from __future__ import annotations

import uuid

import boto3
import pytest

from inference_engine import deployed_settings
from inference_engine.aws.parameters import settings_in
from inference_engine.cli import main
from inference_engine.errors import NotProvisionedError, SettingsError


@pytest.fixture
def environment(aws_environment: str) -> str:
    """The name of an environment with parameters of its own, as many as take two pages to read."""
    name = f"e{uuid.uuid4().hex[:8]}"
    values = {
        "settings/prefix": f"{name}-prefix",
        "settings/jobs_table": f"{name}-table",
        "settings/cells": "3",
        "settings/auto_create_queues": "false",
        "settings/of_a_later_release": "1",
        "region": "us-east-1",
        **{f"other/{number}": "x" for number in range(12)},
    }
    ssm = boto3.client("ssm")
    for key, value in values.items():
        ssm.put_parameter(Name=f"/inference-engine/{name}/{key}", Value=value, Type="String")
    return name


def test_settings_are_what_was_deployed(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_PREFIX", "of-something-else")
    monkeypatch.setenv("INFERENCE_ENGINE_TIMEOUT_SECONDS", "7")
    settings = deployed_settings(environment, region="us-east-1")
    assert (settings.prefix, settings.jobs_table) == (f"{environment}-prefix", f"{environment}-table")
    assert (settings.cells, settings.auto_create_queues) == (3, False)
    assert settings.timeout_seconds == 7
    assert settings.region == "us-east-1"


async def test_it_may_be_asked_inside_an_event_loop_and_changed(environment: str) -> None:
    assert deployed_settings(environment, cells=1, timeout_seconds=9).cells == 1


def test_an_environment_that_nobody_deployed_is_told(aws_environment: str) -> None:
    with pytest.raises(NotProvisionedError, match="terraform apply"):
        deployed_settings("nowhere")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names_that_cannot_be_one(name: str) -> None:
    with pytest.raises(SettingsError, match="not the name"):
        deployed_settings(name)


def test_parameters_beside_the_settings_are_none_of_them() -> None:
    assert settings_in({"ecs_cluster": "c", "settings/prefix": "p", "settings/unknown": "u"}) == {"prefix": "p"}


def test_the_command_line_knows_environments(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", "list", "--environment", environment]) == 1
    assert f"{environment}-prefix-registry" in capsys.readouterr().err


def test_the_region_of_the_sdks_own_variable_is_enough(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 alone of all SDKs reads another one."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert deployed_settings(environment).prefix == f"{environment}-prefix"
