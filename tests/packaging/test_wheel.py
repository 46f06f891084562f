"""The wheel that is handed out: the library and the demo, and a command that runs both."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inference_engine import __version__
from tests.support.installations import Wheel
from tests.support.project import PROJECT

pytestmark = pytest.mark.integration


def test_the_wheel_holds_every_file_of_the_library_and_of_the_demo_and_no_other(wheel: Wheel) -> None:
    assert wheel.path.name == f"inference_engine-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel.path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(PROJECT) for path in PROJECT.glob("inference_engine*/**/*") if path.is_file()}
    assert held == {path.as_posix() for path in files if "__pycache__" not in path.parts}


def test_the_demo_is_in_the_wheel_and_is_imported_only_when_it_is_run(wheel: Wheel, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(tmp_path)
    script = (
        "import sys; from inference_engine import cli\n"
        "parsed = cli.build_parser().parse_args(['demo'])\n"
        "assert 'inference_engine_demo' not in sys.modules\n"
        "import inference_engine_demo.jobs; print(inference_engine_demo.__file__)\n"
        "cli.main(['demo', '--help'])\n"
    )
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    place, _, told = done.stdout.partition("\n")
    assert place == str(tmp_path / "inference_engine_demo" / "__init__.py")
    assert told.startswith("usage: inference-engine demo")
