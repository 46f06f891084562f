"""Each layer imports only from the layers below it; the contracts are in `.importlinter`."""

import subprocess
import sys

import pytest

from tests.support.project import PROJECT

pytestmark = pytest.mark.integration


def test_layers_are_kept() -> None:
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_posting_needs_only_what_a_plain_install_brings() -> None:
    script = (
        "import sys, inference_engine.producer, inference_engine.cli\n"
        "heavy = {'aioboto3', 'aiohttp', 'numpy', 'prometheus_client', 'rich', 'tqdm', 'tritonclient', 'grpc', 'onnx'}\n"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
