"""The command that makes and rotates the secret of webhooks."""

from __future__ import annotations

import json
import uuid

import boto3
import pytest

from inference_engine.cli import main
from inference_engine.webhooks.rules import keys_of


@pytest.fixture
def environment(aws_environment: str) -> str:
    return f"e{uuid.uuid4().hex[:8]}"


def parameter(environment: str) -> tuple[str, str]:
    """Its kind and value."""
    ssm = boto3.client("ssm")
    answer = ssm.get_parameter(Name=f"/inference-engine/{environment}/webhooks/secret", WithDecryption=True)
    ssm.close()
    return answer["Parameter"]["Type"], answer["Parameter"]["Value"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["webhooks", "secret", *arguments]) == 0
    return capsys.readouterr().out


def test_a_secret_is_made_once_and_shown_only_when_asked(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "webhooks/secret: made" in run(capsys, "--environment", environment)
    kind, value = parameter(environment)
    assert kind == "SecureString"
    assert len(keys_of(value)) == 1
    printed = run(capsys, "--environment", environment)
    assert "is there already" in printed
    assert value not in printed
    assert parameter(environment)[1] == value
    assert run(capsys, "--environment", environment, "--show").splitlines()[1:] == [value]


def test_a_rotation_keeps_the_secret_before_and_no_older_one(
    environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "--environment", environment)
    _, first = parameter(environment)
    printed = json.loads(run(capsys, "--environment", environment, "--rotate", "--json", "--show"))
    new, old = parameter(environment)[1].split()
    assert (printed["outcome"], printed["secrets"]) == ("rotated", [new, old])
    assert (old, new != first) == (first, True)
    silent = json.loads(run(capsys, "--environment", environment, "--rotate", "--json"))
    assert "secrets" not in silent
    assert silent["parameter"] == f"/inference-engine/{environment}/webhooks/secret"
    assert parameter(environment)[1].split()[1:] == [new]


def test_a_rotation_of_nothing_makes_a_secret(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "made" in run(capsys, "--environment", environment, "--rotate")
    assert len(parameter(environment)[1].split()) == 1


def test_what_is_no_environment_is_told(aws_environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhooks", "secret", "--environment", "a/b"]) == 1
    assert "not the name" in capsys.readouterr().err
