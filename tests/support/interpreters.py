"""The versions of Python that the project supports, and where this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .project import PROJECT

_CLASSIFIER = "Programming Language :: Python :: "
_PROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SUPPORTED = [name.removeprefix(_CLASSIFIER) for name in _PROJECT["classifiers"] if name.startswith(_CLASSIFIER)]
#: All but the one that runs the tests, which the tests themselves try.
OTHERS = [version for version in SUPPORTED if version != RUNNING]


def interpreter(version: str) -> Path:
    """An interpreter of a version, found on PATH or among pyenv's.

    Without one, the test is skipped, and fails where TESTS_REQUIRE_PYTHONS=1 says that all of them are here.
    """
    for command in _candidates(version):
        if found := _asked(command):
            return found
    missing = f"no Python {version} with venv and pip, neither on PATH nor in {_pyenv()}"
    if os.environ.get("TESTS_REQUIRE_PYTHONS") == "1":
        pytest.fail(missing)
    pytest.skip(f"{missing}; install one to run this test")


def _candidates(version: str) -> list[str]:
    on_path = shutil.which(f"python{version}")
    of_pyenv = sorted(map(str, _pyenv().glob(f"{version}.*/bin/python{version}")))
    return ([on_path] if on_path else []) + of_pyenv


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def _asked(command: str) -> Path | None:
    """Where an interpreter really is; None where it does not run, as pyenv's shim of a version that is not switched on."""
    script = "import ensurepip, sys, venv; print(sys.executable)"
    done = subprocess.run([command, "-I", "-c", script], capture_output=True, text=True, check=False)
    return None if done.returncode else Path(done.stdout.strip())
