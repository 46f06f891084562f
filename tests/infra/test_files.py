"""The Terraform files by themselves: style, syntax, their own tests, and what checkov thinks of them."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docs._terraform_tables import blocks, text_of
from inference_engine.local.environments import EnvironmentSpec, ensure
from tests.infra.aws_rules import RULES, refused
from tests.support.project import PROJECT
from tests.support.terraform import TEST_TIMEOUT_SECONDS, Terraform, copy_project

TERRAFORM = PROJECT / "terraform"
#: What people apply; modules are checked with those that call them.
ROOTS = ("endpoints", "inference_pipeline", "examples/complete")
#: Pinned: each release knows more checks, and a new one is no change of this project.
CHECKOV = EnvironmentSpec("checkov", requirements=("checkov==3.3.30",))
CHECKOV_TIMEOUT_SECONDS = 600
#: Every module has these, as terraform-aws-modules have them.
MODULE_FILES = {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"}
#: Where the examples of the READMEs have this project.
CLONE = "inference-engine"
#: Plans all of them together, as they refer to each other.
USAGE_TEST = """
mock_provider "aws" {
  source = "./inference-engine/terraform/mocks"
}

run "usage" {
  command = plan
}
"""
#: Tests of roots that render all that may be switched on.
RENDERING = {"inference_pipeline": "longest_names.tftest.hcl", "endpoints": "endpoints.tftest.hcl"}
#: What is known only when a plan is made, as it stands in a text.
INTERPOLATION = re.compile(r"\$\{[^}]*\}")


@pytest.fixture(scope="module")
def initialized(terraform_command: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Terraform]:
    """Every root, in a copy of the files."""
    copy = copy_project(PROJECT, tmp_path_factory.mktemp("files"))
    roots = {name: Terraform(copy / name, {"AWS_REGION": "us-east-1"}) for name in ROOTS}
    for root in roots.values():
        root.init()
    return roots


def test_files_are_formatted(terraform_command: str) -> None:
    assert Terraform(TERRAFORM).run("fmt", "-check", "-recursive", "-diff") == ""


@pytest.mark.parametrize("name", ROOTS)
def test_roots_are_valid(name: str, initialized: dict[str, Terraform]) -> None:
    initialized[name].validate()


@pytest.fixture(scope="module")
def rendering(initialized: dict[str, Terraform]) -> Callable[[str], list[dict[str, Any]]]:
    """What a root's file of RENDERING makes, if it passes; a run of it takes half a minute, and is made once for all who ask."""
    return functools.cache(lambda name: list(rendered(initialized[name], RENDERING[name])))


@pytest.mark.parametrize("name", ROOTS)
def test_roots_pass_their_own_tests(
    name: str, initialized: dict[str, Terraform], rendering: Callable[[str], list[dict[str, Any]]]
) -> None:
    reports = initialized[name].test(but=RENDERING.get(name, ""))
    assert reports or rendering(name), f"{name} has no tests"
    assert [file for file, report in reports.items() if ", 0 failed" not in report] == []


def test_modules_consist_of_the_same_files() -> None:
    modules = [path for path in (TERRAFORM / "modules").iterdir() if path.is_dir()]
    assert modules
    assert {path.name: MODULE_FILES - {file.name for file in path.iterdir()} for path in modules} == {
        path.name: set() for path in modules
    }


def test_the_examples_of_the_readmes_can_be_planned(terraform_command: str, tmp_path: Path) -> None:
    examples = {path.parent.name: usage(path) for path in TERRAFORM.glob("modules/*/README.md")}
    examples |= {name: usage(TERRAFORM / name / "README.md") for name in ("endpoints", "inference_pipeline")}
    copy = copy_project(PROJECT, tmp_path / CLONE)
    shutil.copy(copy / "endpoints" / "versions.tf", tmp_path)
    shutil.copytree(copy / "mocks" / "zips", tmp_path / CLONE / "lambdas" / "dist", dirs_exist_ok=True)
    for name, example in examples.items():
        assert f'module "{name}" {{' in example, name
        (tmp_path / f"{name}.tf").write_text(example, "utf-8")
    for variables in copy.rglob("variables.tf"):
        # Versions of the provider before 6.8 refuse queues with the default.
        variables.write_text(re.sub(r"(default +)= 1048576", r"\1= 262144", variables.read_text("utf-8")), "utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "usage.tftest.hcl").write_text(USAGE_TEST, "utf-8")
    root = Terraform(tmp_path, {"AWS_REGION": "eu-central-1"})
    root.run("fmt", "-check", "-diff")
    root.init()
    assert [report for report in root.test().values() if "1 passed, 0 failed." not in report] == []


def usage(readme: Path) -> str:
    """The example of a README: the module's call in the configuration of whoever uses it."""
    (example,) = re.findall(r"^```hcl\n(.*?)^```$", readme.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(example)


def test_aws_takes_every_description_as_it_is_written() -> None:
    """Whatever is filled in; of resources that no test makes as well."""
    found, wrong = set(), []
    for folder in sorted({path.parent for path in TERRAFORM.rglob("*.tf")}):
        for resource in blocks(folder, "resource"):
            kind, name = resource.labels
            written = {key: text_of(text) for key, text in resource.attributes.items() if text.startswith('"')}
            texts = {key: INTERPOLATION.sub("x", text) for key, text in written.items() if key.endswith("description")}
            found |= {kind} if texts else set()
            wrong += [f"{folder.name}: {kind}.{name}: {one}" for one in refused(kind, texts)]
    assert wrong == []
    assert {kind for kind in RULES if kind.startswith(("aws_security_group", "aws_vpc_security_group"))} <= found


@pytest.mark.parametrize("name", RENDERING)
def test_aws_takes_every_name_description_and_tag(name: str, rendering: Callable[[str], list[dict[str, Any]]]) -> None:
    resources = rendering(name)
    assert [f"{one['address']}: {text}" for one in resources for text in refused(one["type"], one["values"])] == []
    if name == "inference_pipeline":
        assert set(RULES) - {one["type"] for one in resources} == set(), "a rule of which nothing was held against it"


def rendered(root: Terraform, file: str) -> Iterator[dict[str, Any]]:
    """Every resource that the runs of a test file would make, as `terraform show` tells them.

    Raises TerraformError where the file does not pass.
    """
    output = root.run("test", f"-filter=tests/{file}", "-json", "-verbose", timeout_seconds=TEST_TIMEOUT_SECONDS)
    events = [json.loads(line) for line in output.splitlines()]
    modules = [event["test_state"]["root_module"] for event in events if event["type"] == "test_state"]
    assert modules, output
    while modules:
        module = modules.pop()
        yield from (resource for resource in module.get("resources", []) if resource["mode"] == "managed")
        modules += module.get("child_modules", [])


def test_checkov_finds_nothing() -> None:
    """Checks that do not apply are skipped where they do not, with the reason."""
    command = [str(ensure(CHECKOV) / "bin" / "checkov"), "--directory", str(TERRAFORM), "--framework", "terraform"]
    command += ["--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECKOV_TIMEOUT_SECONDS, check=False)
    report = json.loads(done.stdout)
    found = [
        f"{check['check_id']} {check['check_name']}: {check['file_path']}:{check['file_line_range'][0]} {check['resource']}"
        for check in report["results"]["failed_checks"]
    ]
    assert found == []
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100


def test_nothing_of_a_run_stays_in_the_tree() -> None:
    left = [path for pattern in ("**/.terraform", "**/*.tfstate*") for path in Path(TERRAFORM).glob(pattern)]
    assert left == []
