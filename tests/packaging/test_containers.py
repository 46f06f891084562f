"""The images, the compose file and the workflows, as far as they can be checked without what builds and runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference_engine import Settings
from inference_engine.cli import build_parser
from inference_engine.gateway.settings import GatewaySettings
from tests.support.project import PROJECT

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
#: What is run; the other stages only build.
IMAGES = ("consumer", "gateway")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    return found


def instructions(name: str, stage: str = "") -> list[str]:
    """What follows an instruction's name, each with its continuation lines; in one stage, or in all."""
    text = DOCKERFILE.replace("\\\n", " ")
    stages = [part for part in text.split("\nFROM ") if part.partition("\n")[0].endswith(f" AS {stage}") or not stage]
    lines = "\nFROM ".join(stages).splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


@pytest.mark.integration
def test_the_images_pass_hadolint() -> None:
    command = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("hadolint has no wheel for this platform")
    done = subprocess.run([command, str(PROJECT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_nobody_special(image: str) -> None:
    [user] = instructions("USER", image)
    assert int(user) >= 10_000


def test_what_the_images_copy_is_there() -> None:
    copied = [part for line in instructions("COPY") if "--from" not in line for part in line.split()[:-1]]
    assert copied
    assert all((PROJECT / part).exists() for part in copied)


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


def test_everything_is_bound_to_loopback_of_the_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_inline_python_compiles(services: dict[str, Any]) -> None:
    [source] = services["provision"]["command"]
    compile(source, "docker-compose.yml", "exec")


def exec_form(name: str, image: str) -> list[str]:
    """The arguments of an instruction of an image, in its exec form."""
    [line] = instructions(name, image)
    parsed = yaml.safe_load(line)
    assert isinstance(parsed, list), f"{name} is not in the exec form: SIGTERM would not reach the process"
    return parsed


def test_commands_of_consumers_are_of_the_command_line(services: dict[str, Any]) -> None:
    program, *entrypoint = exec_form("ENTRYPOINT", "consumer")
    assert program == "inference-engine"
    for command in (exec_form("CMD", "consumer"), services["consumer"]["command"]):
        assert build_parser().parse_args([*entrypoint, *command]).triton


def test_the_gateway_listens_where_the_machine_and_its_health_check_look(services: dict[str, Any]) -> None:
    arguments = build_parser().parse_args(exec_form("CMD", "gateway"))
    gateway = GatewaySettings(host=arguments.host)
    assert exec_form("ENTRYPOINT", "gateway") == ["inference-engine"]
    assert not gateway.loopback
    assert instructions("EXPOSE", "gateway") == [str(gateway.port)]
    assert services["gateway"]["ports"] == [f"127.0.0.1:{gateway.port}:{gateway.port}"]
    [check] = instructions("HEALTHCHECK", "gateway")
    assert f"http://127.0.0.1:{gateway.port}/v2/health/live" in check


def test_a_gateway_in_a_container_requires_keys_and_the_image_makes_them(services: dict[str, Any]) -> None:
    settings = GatewaySettings(host=build_parser().parse_args(exec_form("CMD", "gateway")).host)
    assert settings.keys_required
    assert "INFERENCE_ENGINE_GATEWAY_REQUIRE_KEYS" not in services["gateway"]["environment"]
    [told] = re.findall(r"run --rm gateway (keys .*)", (PROJECT / "docker-compose.yml").read_text())
    assert build_parser().parse_args(told.split()).operator


def test_containers_are_given_more_time_than_they_take_to_stop(services: dict[str, Any]) -> None:
    for service, seconds in (("consumer", Settings().drain_seconds), ("gateway", GatewaySettings().shutdown_delay)):
        assert float(services[service]["stop_grace_period"].removesuffix("s")) > seconds


# --- workflows -----------------------------------------------------------------------------------------------------------

NAMES = ["check", "acceptance", "docs", "plan", "deploy", "apply"]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of all jobs."""
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(request.param.read_text("utf-8"))
    return found


def test_workflows_may_only_read_unless_a_job_says_otherwise(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    granted = {
        right
        for job in workflow["jobs"].values()
        for right, how in job.get("permissions", {}).items()
        if how == "write"
    }
    assert granted <= {"id-token", "pages"}


def test_actions_are_pinned_and_leave_no_credentials_behind(workflow: dict[str, Any]) -> None:
    uses = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [action for action in uses if not re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*", action)] == []
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_jobs_end_and_commands_take_no_text_of_the_event(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 120
    # What an expression brings into a script is run by the shell, whoever wrote it.
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []


def test_workflows_call_workflows_that_may_be_called(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        if "uses" in job:
            called = yaml.safe_load((PROJECT / job["uses"]).read_text("utf-8"))
            # YAML 1.1 reads the key `on` as true.
            accepted = called[True]["workflow_call"] or {}
            assert set(job.get("with", {})) == set(accepted.get("inputs", {}))
            wanted = {
                right for one in called["jobs"].values() for right in one.get("permissions", called["permissions"])
            }
            assert wanted <= set(job.get("permissions", workflow["permissions"]))


def test_every_workflow_is_described() -> None:
    page = (PROJECT / "docs" / "howto" / "ci.md").read_text("utf-8")
    assert WORKFLOWS
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == NAMES
    assert {path.stem for path in WORKFLOWS} == set(NAMES)
