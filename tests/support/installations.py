"""The wheel of this tree as users install it: in environments of their own, with the newest or the lowest packages it allows.

Packages take minutes to install and the wheel a second, so an environment is two: the packages that the wheel asks for are
kept in the cache folder under a hash of their names, and the wheel goes into a new environment above them. There, pip may
get nothing more, so it installs the wheel only if everything is there that the wheel asks for.
"""

from __future__ import annotations

import email
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from inference_engine.local.environments import MARKER, EnvironmentSpec, ensure, run_installer
from inference_engine.local.processes import ChildProcess

from .project import PROJECT

#: The newest packages of last week are no longer the newest ones.
NEWEST_SECONDS = 7 * 86_400
#: Unit tests on a busy machine take minutes; only a hang takes longer.
TIMEOUT_SECONDS = 1800.0
#: Of variables: what this process tells its own Python, pytest and coverage is not meant for others.
_NOT_INHERITED = ("COVERAGE_", "PYTEST_", "PYTHON", "TESTS_", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A built wheel, and what it asks for."""

    path: Path

    @property
    def extras(self) -> list[str]:
        """The names of its extras."""
        return list(self._metadata.get_all("Provides-Extra", []))

    def newest(self, extra: str = "") -> set[str]:
        """What a plain installation asks for, or one with an extra."""
        return {str(one) for one in self._requirements(extra)}

    def lowest(self, extra: str = "") -> set[str]:
        """The same in the lowest versions that it may have. boto3 and botocore go with aioboto3, which wants one version only."""
        asked = {one.name: one for one in self._requirements(extra)}
        lowest = {f"{name}=={_lower_bound(one)}" for name, one in asked.items() if name != "boto3"}
        boto = _lower_bound(asked["boto3"])
        return lowest | ({"boto3"} if "aioboto3" in asked else {f"boto3=={boto}", f"botocore=={boto}"})

    def _requirements(self, extra: str) -> Iterable[Requirement]:
        for text in self._metadata.get_all("Requires-Dist", []):
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                one.marker = None
                yield one

    @property
    def _metadata(self) -> email.message.Message:
        with zipfile.ZipFile(self.path) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)]
    run_installer(command, "building the wheel")
    [built] = folder.glob("*.whl")
    return Wheel(built)


def _lower_bound(requirement: Requirement) -> str:
    [bound] = [one.version for one in requirement.specifier if one.operator == ">="]
    return bound


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that has the wheel."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        """`inference-engine`."""
        return self.folder / "bin" / "inference-engine"

    def run(self, *command: str | Path, variables: Mapping[str, str] | None = None) -> str:
        """What a program prints that ends well."""
        done = self.ended(*command, variables=variables)
        assert done.returncode == 0, f"{command}: {done.stdout[-20_000:]}{done.stderr[-20_000:]}"
        return done.stdout

    def script(self, text: str, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> list[str]:
        """The lines that Python code prints."""
        return self.run(self.python, "-P", "-c", text, *arguments, variables=variables).splitlines()

    def ended(
        self, *command: str | Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A program that has ended, however it did."""
        return subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=_inherited() | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )

    def server(self, *arguments: str | Path, variables: Mapping[str, str]) -> ChildProcess:
        """`inference-engine …` as a process that goes on; not started."""
        command = list(map(str, (self.command, *arguments)))
        return ChildProcess(
            command, log_file=self.folder / f"{arguments[0]}.log", environment=_inherited() | dict(variables)
        )

    def tests(self, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> str:
        """Run this tree's tests on the wheel; pytest's report."""
        script = (
            "import sys, inference_engine, pytest\n"
            "assert inference_engine.__file__.startswith(sys.prefix), inference_engine.__file__\n"
            "sys.path.append(sys.argv[1])\n"
            "sys.exit(pytest.main(sys.argv[2:]))"
        )
        # By this mode the tests' folder does not go to the head of the path, and with it this tree's library.
        options: list[str | Path] = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir", PROJECT]
        options += ["-c", PROJECT / "pyproject.toml"]
        return self.run(self.python, "-P", "-c", script, PROJECT, *options, *arguments, variables=variables)


def install(
    wheel: Wheel,
    extra: str,
    folder: Path,
    *,
    lowest: bool = False,
    tools: Iterable[str] = (),
    python: Path | None = None,
) -> Installation:
    """The wheel with an extra ('' for none) in a new environment `folder`, with `tools` beside it.

    The first time, this takes minutes and needs the package index.
    """
    asked = wheel.lowest(extra) if lowest else wheel.newest(extra)
    name = f"test-{'lowest' if lowest else 'newest'}-{extra or 'plain'}"
    spec = EnvironmentSpec(name, requirements=(*sorted(asked), *sorted(tools)), python=python)
    if not lowest:
        _forget_if_old(spec)
    packages = ensure(spec, print)
    inner = packages / "bin" / "python"
    run_installer([str(inner), "-m", "venv", "--without-pip", str(folder)], f"creating {folder}")
    [below] = packages.glob("lib/python*/site-packages")
    [above] = folder.glob("lib/python*/site-packages")
    (above / "packages.pth").write_text(f"{below}\n")
    installation = Installation(folder)
    wanted = f"{wheel.path}[{extra}]" if extra else str(wheel.path)
    pip = [str(inner), "-m", "pip", "--isolated", "--python", str(installation.python)]
    run_installer([*pip, "install", "--quiet", "--no-index", wanted], f"installing {wanted}")
    return installation


def _forget_if_old(spec: EnvironmentSpec) -> None:
    marker = spec.folder / MARKER
    if marker.exists() and time.time() - marker.stat().st_mtime > NEWEST_SECONDS:
        marker.unlink(missing_ok=True)


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
