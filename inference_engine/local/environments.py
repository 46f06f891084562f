"""Private virtual environments for programs that must not share the application's packages.

The emulator pins its own botocore and Triton's Python stub needs numpy 1, so each has an environment in the cache
folder. An environment is built in place (its scripts contain absolute paths, so it cannot be moved) under a file lock,
and a marker written last says that it is complete. The folder's name contains a hash of the requirements and of the
interpreter: where these change, a new environment is built, and an old one is never repaired.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import LocalStackError
from .cache import cache_folder, digest, locked
from .log_files import tail

Progress = Callable[[str], None]

#: Written last; a folder without it was left by an interrupted build.
MARKER = ".complete"


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What to install: `requirements` with their dependencies, `bare_requirements` strictly without them.

    `python` is the interpreter; None is the running one.
    """

    name: str
    requirements: tuple[str, ...] = ()
    bare_requirements: tuple[str, ...] = ()
    python: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of this environment, whether or not it has been built."""
        running = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix} {sysconfig.get_platform()}"
        interpreter = running if self.python is None else str(self.python)
        recipe = digest(interpreter, *self.requirements, "--no-deps", *self.bare_requirements)
        return cache_folder() / "environments" / f"{self.name}-{recipe}"

    @property
    def ready(self) -> bool:
        """Whether the environment is built and its interpreter still exists."""
        return (self.folder / MARKER).exists() and (self.folder / "bin" / "python").exists()


EMULATOR = EnvironmentSpec("emulator", requirements=("ministack==1.5.*",))

#: The wheel's own dependencies are for its Python API, and only the server inside it is used. tokenizers' one dependency
#: downloads files from a hub, which no model here needs.
TRITON = EnvironmentSpec(
    "triton",
    requirements=("numpy<2", "onnxruntime>=1.17"),
    bare_requirements=("nvidia-pytriton==0.7.0", "tokenizers>=0.20"),
)


def silent(_message: str) -> None:
    """A progress callback that does nothing."""


def ensure(spec: EnvironmentSpec, progress: Progress = silent) -> Path:
    """The folder of the environment `spec`, built first if necessary (seconds to minutes, needs the package index).

    Several processes may call it at once: one builds, the others wait for it. Raises LocalStackError, with the tail of
    the installer's output, where the build fails.
    """
    if spec.ready:
        return spec.folder
    folder = spec.folder
    with locked(folder.with_name(folder.name + ".lock")):
        if not spec.ready:
            _build(spec, folder, progress)
    return folder


def _build(spec: EnvironmentSpec, folder: Path, progress: Progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted build
    progress(f"{spec.name}: creating a private Python environment in {folder}")
    run_installer(
        [str(spec.python or sys.executable), "-m", "venv", str(folder)], f"creating the environment {spec.name!r}"
    )
    for options, requirements in (([], spec.requirements), (["--no-deps"], spec.bare_requirements)):
        if requirements:
            progress(f"{spec.name}: installing {', '.join(requirements)}")
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
            run_installer([*pip, *options, *requirements], f"installing {', '.join(requirements)}")
    marker = folder / (MARKER + ".new")
    marker.write_text("\n".join([*spec.requirements, *spec.bare_requirements, ""]))
    marker.replace(folder / MARKER)
    progress(f"{spec.name}: environment is ready")


def run_installer(command: list[str], what: str) -> None:
    """Run pip or venv. Raises LocalStackError, with the end of its output, where it fails; `what` names the step there."""
    # PYTHON* variables of the application (a PYTHONPATH, say) would leak its packages into the new environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(  # noqa: S603 - the command is ours
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LocalStackError(
            f"{what} failed (exit {done.returncode}):\n{tail(done.stdout + done.stderr)}\n"
            "check that this Python has venv and pip and that pip reaches its package index (pip config list), "
            "then run again: no partial environment is kept"
        )
