"""Builds the zips of the Lambda functions: python -m lambdas.package [--python 3.13] [--architecture arm64] [--output FOLDER]

Each folder here that has a `handler.py` becomes a zip of that handler, the parts of the library that Lambdas use, and the
pinned packages of `requirements.txt`, as wheels for Lambda's own platform: nothing is compiled, so neither docker nor a
machine of that architecture is needed. The same tree gives the same bytes: entries are sorted, with one time and mode, and
files that pip writes differently each time are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

from inference_engine.aws.transport import Service

FOLDER = Path(__file__).parent
LIBRARY = FOLDER.parent / "inference_engine"
REQUIREMENTS = FOLDER / "requirements.txt"

#: The oldest runtime image that packages must run on is Amazon Linux 2023, with glibc 2.34: wheels for 2.17 work there.
PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
#: Parts of the library that no Lambda uses; some need packages that are not bundled.
LEFT_OUT = frozenset({"backends", "cli", "consumer", "gateway", "local", "model_authoring", "models"})
#: Files of a package's description that are kept: Amazon Inspector finds vulnerable versions by METADATA.
DESCRIPTION_FILES = frozenset({"METADATA", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE"})
#: The earliest time that a zip can hold.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
#: A regular file that everybody may read, as Lambda's own user must.
ZIP_MODE = 0o100644


class PackageError(Exception):
    """The zips could not be built."""


def functions() -> list[str]:
    """Names of the functions: the folders with a handler."""
    return sorted(handler.parent.name for handler in FOLDER.glob("*/handler.py"))


def build(output: Path, *, python: str = "3.13", architecture: str = "arm64") -> list[Path]:
    """Build all zips into a folder, for a Python version ("3.13") and `arm64` or `x86_64`. Raises PackageError."""
    with tempfile.TemporaryDirectory(prefix="lambda-packages-") as folder:
        packages = Path(folder)
        _install(packages, python, architecture)
        common = dict(_package_files(packages)) | dict(_library_files())
    output.mkdir(parents=True, exist_ok=True)
    zips = []
    for name in functions():
        path = output / f"{name}.zip"
        _write(path, common | dict(_function_files(name)))
        zips.append(path)
    return zips


def _install(target: Path, python: str, architecture: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--platform", PLATFORMS[architecture], "--python-version", python, "--implementation", "cp"]
    command += ["--only-binary", ":all:", "--no-deps", "--target", str(target), "--requirement", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
    if done.returncode:
        raise PackageError(
            f"pip could not install {REQUIREMENTS.name} for Python {python} on {architecture}:\n{done.stderr.strip()}"
        )


def _package_files(packages: Path) -> Iterator[tuple[str, bytes]]:
    for path in packages.rglob("*"):
        name = PurePosixPath(path.relative_to(packages).as_posix())
        if path.is_file() and is_bundled(name):
            yield str(name), path.read_bytes()


def is_bundled(name: PurePosixPath) -> bool:
    """Whether a file of an installed package, by its path below the target folder, goes into the zips."""
    match name.parts:
        case ("bin", *_):
            return False
        case (folder, *_, last) if folder.endswith(".dist-info"):
            # RECORD, INSTALLER and the like describe the installation.
            return last in DESCRIPTION_FILES
        case ("botocore", "data", service, _, *_):
            # What lies directly in `data` is shared by all services.
            return service in get_args(Service)
        case ("boto3", "data" | "examples", *_):
            return False
        case _:
            return "__pycache__" not in name.parts and name.suffix not in (".pyc", ".pyi")


def _library_files() -> Iterator[tuple[str, bytes]]:
    for path in LIBRARY.rglob("*.py"):
        name = path.relative_to(LIBRARY.parent)
        if name.parts[1] not in LEFT_OUT:
            yield name.as_posix(), path.read_bytes()


def _function_files(name: str) -> Iterator[tuple[str, bytes]]:
    """The function's modules, at the root of its zip."""
    for path in (FOLDER / name).glob("*.py"):
        if path.name != "__init__.py":
            yield path.name, path.read_bytes()


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    unfinished = path.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is built, so that the mode applies
            entry.external_attr = ZIP_MODE << 16
            archive.writestr(entry, files[name])
    unfinished.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the zips and print their paths, sizes and digests; the exit code is 1 where that fails."""
    parser = argparse.ArgumentParser(prog="python -m lambdas.package", description="Build the zips of the Lambdas.")
    parser.add_argument(
        "--python", default="3.13", metavar="VERSION", help="Python of the Lambda runtime (default: 3.13)"
    )
    parser.add_argument(
        "--architecture", default="arm64", choices=sorted(PLATFORMS), help="processor architecture (default: arm64)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER / "dist",
        metavar="FOLDER",
        help="where to write the zips (default: lambdas/dist)",
    )
    arguments = parser.parse_args(argv)
    try:
        zips = build(arguments.output, python=arguments.python, architecture=arguments.architecture)
    except (PackageError, OSError) as error:
        print(f"lambdas.package: {error}", file=sys.stderr)
        return 1
    for path in zips:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB  sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
