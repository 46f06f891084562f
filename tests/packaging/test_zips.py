"""The Lambda zips: small, complete, and the same bytes each time; and the one place that the version is written in."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from inference_engine import __version__, cli
from inference_engine.aws.transport import Service
from lambdas import package
from tests.support.project import PROJECT

#: What is to be imported without a site-packages folder: only the zip and the standard library.
IMPORT = "import sys; sys.path.insert(0, sys.argv[1]); import handler; print(callable(handler.handle))"


@pytest.fixture(scope="session")
def lambda_platform_zips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """As `make lambdas` builds them, whatever this machine is."""
    return package.build(tmp_path_factory.mktemp("zips"))


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_each_function_has_a_zip(lambda_platform_zips: list[Path]) -> None:
    assert [path.stem for path in lambda_platform_zips] == package.functions()
    assert "dead_letters" in package.functions()


def test_same_tree_gives_the_same_bytes(lambda_platform_zips: list[Path], tmp_path: Path) -> None:
    again = package.build(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in lambda_platform_zips]


def test_what_is_inside(lambda_platform_zips: list[Path]) -> None:
    for path in lambda_platform_zips:
        assert path.stat().st_size < 10_000_000
        found = names(path)
        assert found == sorted(found)
        assert {"handler.py", "inference_engine/settings.py", "boto3/__init__.py"} <= set(found)
        assert not [name for name in found if "__pycache__" in name or name.endswith(("/RECORD", "/INSTALLER"))]
        left_out = tuple(f"inference_engine/{part}/" for part in package.LEFT_OUT)
        assert not [name for name in found if name.startswith(left_out)]
        assert [name for name in found if "cpython-313-aarch64" in name]
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        assert {entry.date_time for entry in entries} == {package.ZIP_TIME}
        assert {entry.external_attr >> 16 for entry in entries} == {package.ZIP_MODE}


def test_handlers_need_nothing_besides_their_zip(lambda_zips: dict[str, Path], tmp_path: Path) -> None:
    assert sorted(lambda_zips) == package.functions()
    for name, path in lambda_zips.items():
        folder = tmp_path / name
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        # The transport imports boto3 on first use, and boto3 its services.
        clients = "; import boto3; [boto3.Session().client(s, region_name='eu-west-1') for s in sys.argv[2:]]"
        services = get_args(Service)
        command = [sys.executable, "-I", "-S", "-c", IMPORT + clients, str(folder), *services]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_pins_are_complete_and_within_the_librarys_bounds(lambda_zips: dict[str, Path]) -> None:
    text = package.REQUIREMENTS.read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin) for pin, *_ in lines)
    assert all(hashes and all(one.startswith("--hash=sha256:") for one in hashes) for _, *hashes in lines)
    pins = dict(pin.split("==") for pin, *_ in lines)
    assert list(pins) == sorted(pins)
    wanted = [
        Requirement(text) for text in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    with zipfile.ZipFile(lambda_zips["dead_letters"]) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA"):
                headers = HeaderParser().parsestr(archive.read(name).decode())
                assert pins[canonicalize_name(headers["Name"])] == headers["Version"]
                wanted += [Requirement(text) for text in headers.get_all("Requires-Dist", [])]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert {canonicalize_name(one.name) for one in needed} == set(pins), "pinned what is needed and nothing else"
    assert [one for one in needed if pins[canonicalize_name(one.name)] not in one.specifier] == []


@pytest.mark.parametrize(
    ("name", "bundled"),
    [
        ("bin/dotenv", False),
        ("pydantic-2.0.dist-info/RECORD", False),
        ("pydantic-2.0.dist-info/METADATA", True),
        ("pydantic-2.0.dist-info/licenses/LICENSE", True),
        ("botocore/data/endpoints.json", True),
        ("botocore/data/sqs/2012-11-05/service-2.json.gz", True),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("boto3/data/sqs/2012-11-05/resources-1.json", False),
        ("boto3/session.py", True),
        ("six.py", True),
        ("__pycache__/six.cpython-313.pyc", False),
        ("pydantic_core/_pydantic_core.pyi", False),
    ],
)
def test_files_of_packages(name: str, bundled: bool) -> None:
    assert package.is_bundled(PurePosixPath(name)) is bundled


@pytest.mark.integration
def test_what_pip_cannot_install_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-folder/no-such.whl\n")
    monkeypatch.setattr(package, "REQUIREMENTS", requirements)
    assert package.main(["--output", str(tmp_path / "out")]) == 1
    assert "pip could not install requirements.txt for Python 3.13 on arm64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- the version ---------------------------------------------------------------------------------------------------------


def test_the_version_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    source = PROJECT / project["tool"]["hatch"]["version"]["path"]
    assert re.findall(r'^__version__ = "(.+)"$', source.read_text("utf-8"), re.MULTILINE) == [__version__]
    places = [*(PROJECT / "inference_engine").rglob("*.py"), PROJECT / "pyproject.toml", PROJECT / "docs" / "conf.py"]
    assert [path for path in places if path != source and f'"{__version__}"' in path.read_text("utf-8")] == []
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.split() == [__version__]


def test_the_changelog_begins_with_the_version() -> None:
    heading = re.search(
        r"^## \[(.+)\] - (Unreleased|\d{4}-\d\d-\d\d)$", (PROJECT / "CHANGELOG.md").read_text("utf-8"), re.M
    )
    assert heading is not None
    assert heading[1] == __version__
