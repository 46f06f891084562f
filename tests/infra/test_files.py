"""The Terraform files by themselves: style, syntax, their own tests, and what checkov thinks of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from inference_engine.local.environments import EnvironmentSpec, ensure
from tests.support.aws_stack import PROJECT
from tests.support.terraform import Terraform, copy_project

TERRAFORM = PROJECT / "terraform"
#: What people apply; modules are checked with those that call them.
ROOTS = ("endpoints", "inference_pipeline", "examples/complete")
#: Pinned: each release knows more checks, and a new one is no change of this project.
CHECKOV = EnvironmentSpec("checkov", requirements=("checkov==3.3.30",))
CHECKOV_TIMEOUT_SECONDS = 120
#: Every module has these, as terraform-aws-modules have them.
MODULE_FILES = {"main.tf", "variables.tf", "outputs.tf", "versions.tf"}


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


@pytest.mark.parametrize("name", ROOTS)
def test_roots_pass_their_own_tests(name: str, initialized: dict[str, Terraform]) -> None:
    reports = initialized[name].test()
    assert reports, f"{name} has no tests"
    assert [file for file, report in reports.items() if ", 0 failed" not in report] == []


def test_modules_consist_of_the_same_four_files() -> None:
    modules = [path for path in (TERRAFORM / "modules").iterdir() if path.is_dir()]
    assert modules
    assert {path.name: MODULE_FILES - {file.name for file in path.iterdir()} for path in modules} == {
        path.name: set() for path in modules
    }


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
