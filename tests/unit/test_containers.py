"""The consumer's image and the compose file, as far as they can be checked without an engine that builds and runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference_engine import Settings
from inference_engine.cli import build_parser

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def instructions(name: str) -> list[str]:
    """What follows an instruction's name, each with its continuation lines."""
    text = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def test_the_image_passes_hadolint() -> None:
    command = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("hadolint has no wheel for this platform")
    done = subprocess.run([command, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_runs_as_nobody_special() -> None:
    [user] = instructions("USER")
    assert int(user) >= 10_000


def test_what_the_image_copies_is_there() -> None:
    copied = [part for line in instructions("COPY") if "--from" not in line for part in line.split()[:-1]]
    assert copied
    assert all((ROOT / part).exists() for part in copied)


def test_services_build_stages_that_are_there(services: dict[str, Any]) -> None:
    stages = {line.split()[-1] for line in instructions("FROM")}
    targets = {service["build"]["target"] for service in services.values() if "build" in service}
    assert targets
    assert targets <= stages


def test_services_wait_for_services_that_are_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            if how["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"]


def test_everything_is_bound_to_loopback_on_the_host(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_inline_python_compiles(services: dict[str, Any]) -> None:
    [source] = services["provision"]["command"]
    compile(source, "docker-compose.yml", "exec")


def exec_form(name: str) -> list[str]:
    """The arguments of an instruction in its exec form."""
    [line] = instructions(name)
    parsed = yaml.safe_load(line)
    assert isinstance(parsed, list), f"{name} is not in the exec form: SIGTERM would not reach the consumer"
    return parsed


def test_commands_are_of_the_command_line(services: dict[str, Any]) -> None:
    program, *entrypoint = exec_form("ENTRYPOINT")
    assert program == "inference-engine"
    for command in (exec_form("CMD"), services["consumer"]["command"]):
        assert build_parser().parse_args([*entrypoint, *command]).triton


def test_a_consumer_is_given_more_time_than_its_drain(services: dict[str, Any]) -> None:
    grace = float(services["consumer"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().drain_seconds
