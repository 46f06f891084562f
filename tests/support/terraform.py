"""Runs the terraform command on a copy of the project's Terraform files, so that the tree itself stays clean."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A call that hangs has usually met an emulator that answers 500 again and again, which the provider retries for ever.
DEFAULT_TIMEOUT_SECONDS = 600.0
#: An apply waits for SQS (25 s a queue) and for S3's lifecycle rules (a minute), as the provider does on AWS.
APPLY_TIMEOUT_SECONDS = 900.0
#: Each of a module's tests is a plan, of which some modules have fifty.
TEST_TIMEOUT_SECONDS = 900.0
#: Most of an apply is waiting, so many more resources than processors go at once.
PARALLELISM = 30
#: The folders where providers are kept for machines that can't reach a registry.
PLUGIN_FOLDERS = (
    "/opt/*",
    "/usr/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "~/.terraform.d/plugins",
)

#: Buckets have no host name of their own at an emulator.
PROVIDER = 'provider "aws" {\n  s3_use_path_style = true\n}\n'

_NOT_INHERITED = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR")
#: Commands that would ask for variables that have no value.
_ASKING = ("apply", "destroy", "init", "plan")

_IGNORED = shutil.ignore_patterns(".terraform", "*.tfstate", "*.tfstate.*", "__pycache__")


class TerraformError(AssertionError):
    """A terraform command failed or took too long; the message has the command and the end of what it said."""


def plugin_folder() -> Path | None:
    """Where the AWS provider lies on this machine: `TERRAFORM_PLUGIN_DIR`, or the first of the usual folders with it."""
    if named := os.environ.get("TERRAFORM_PLUGIN_DIR"):
        return Path(named)
    for pattern in PLUGIN_FOLDERS:
        path = Path(pattern).expanduser()
        for folder in path.parent.glob(path.name):
            if any(folder.glob("*/hashicorp/aws")):
                return folder
    return None


def copy_project(source: Path, target: Path) -> Path:
    """Copy `source/terraform` and the Lambda zips beside it into `target`, and return the copy of the terraform folder."""
    shutil.copytree(source / "terraform", target / "terraform", ignore=_IGNORED)
    if (zips := source / "lambdas" / "dist").is_dir():
        shutil.copytree(zips, target / "lambdas" / "dist")
    return target / "terraform"


@dataclass(frozen=True, slots=True)
class Terraform:
    """One root module: `folder` is a copy that may be written to, `environment` is added to the process's own variables."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def use_emulator(self) -> None:
        """Add what the provider needs to talk to an emulator and what no environment variable can say."""
        declared = any(re.search(r'^provider "aws"', file.read_text(), re.M) for file in self.folder.glob("*.tf"))
        # An override needs a block to override; without one this is the block.
        (self.folder / ("emulator_override.tf" if declared else "emulator.tf")).write_text(PROVIDER)

    def init(self) -> None:
        """Install the provider from this machine where it is, else as Terraform's own configuration says."""
        folder = plugin_folder()
        self.run("init", *([f"-plugin-dir={folder}"] if folder else []))

    def with_variables(self, **environment: str) -> Terraform:
        """The same with more environment variables."""
        return Terraform(self.folder, {**self.environment, **environment})

    def provider_version(self) -> tuple[int, ...]:
        """Version of the AWS provider that `init` chose."""
        chosen: dict[str, str] = json.loads(self.run("version", "-json"))["provider_selections"]
        (version,) = (version for source, version in chosen.items() if source.endswith("/hashicorp/aws"))
        return tuple(int(part) for part in version.split("."))

    def validate(self) -> None:
        """Raises TerraformError with every complaint."""
        self.run("validate")

    def test(self, but: str = "") -> dict[str, str]:
        """Run the module's own tests (`tests/*.tftest.hcl`) but for one file, as many at once as there are processors.

        Their reports, by the file's name.
        """
        names = sorted(path.name for path in self.folder.glob("tests/*.tftest.hcl") if path.name != but)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(names, pool.map(self._test, names), strict=True))

    def _test(self, name: str) -> str:
        return self.run("test", f"-filter=tests/{name}", timeout_seconds=TEST_TIMEOUT_SECONDS)

    def apply(self) -> None:
        """Make everything."""
        self.run("apply", "-auto-approve", f"-parallelism={PARALLELISM}", timeout_seconds=APPLY_TIMEOUT_SECONDS)

    def destroy(self) -> None:
        """Remove everything."""
        self.run("destroy", "-auto-approve", f"-parallelism={PARALLELISM}", timeout_seconds=APPLY_TIMEOUT_SECONDS)

    def pending_changes(self) -> str:
        """What another apply would change, as Terraform tells it; '' for nothing."""
        code, output = self._execute("plan", "-detailed-exitcode", f"-parallelism={PARALLELISM}")
        if code not in (0, 2):
            raise TerraformError(_report(("plan",), output))
        return "" if code == 0 else output

    def outputs(self) -> dict[str, Any]:
        """The values of the root module's outputs."""
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json")).items()}

    def resources(self) -> list[dict[str, Any]]:
        """Every managed resource of the state: `address`, `type`, `name` and `values`, as `terraform show` tells them."""
        found: list[dict[str, Any]] = []
        modules = [json.loads(self.run("show", "-json")).get("values", {}).get("root_module", {})]
        while modules:
            module = modules.pop()
            found += [resource for resource in module.get("resources", []) if resource["mode"] == "managed"]
            modules += module.get("child_modules", [])
        return found

    def run(self, *arguments: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> str:
        """What `terraform <arguments>` prints. Raises TerraformError when it fails or takes too long."""
        code, output = self._execute(*arguments, timeout_seconds=timeout_seconds)
        if code:
            raise TerraformError(_report(arguments, output))
        return output

    def _execute(self, *arguments: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[int, str]:
        options = ["-input=false"] if arguments[0] in _ASKING else []
        process = subprocess.Popen(
            ["terraform", f"-chdir={self.folder}", arguments[0], "-no-color", *options, *arguments[1:]],
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # the provider's processes end with it
        )
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise TerraformError(_report(arguments, f"{output}\nnot done after {timeout_seconds:g} s")) from None
        return process.returncode, output

    def _variables(self) -> dict[str, str]:
        # Someone's own account, variables or options must never get into a test.
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        variables |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        variables |= {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", **self.environment}
        if not Path(variables.get("TF_CLI_CONFIG_FILE", "/")).exists():
            # Terraform complains on every call about a configuration that is named and not there.
            del variables["TF_CLI_CONFIG_FILE"]
        return variables


def _report(arguments: tuple[str, ...], output: str) -> str:
    # Terraform frames its errors; what comes before is the progress of resources that went well.
    start = output.find("Error: ")
    return (
        f"terraform {' '.join(arguments)} failed:\n{output[max(start, 0) :][-6000:] if start >= 0 else output[-3000:]}"
    )
