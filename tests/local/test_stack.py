"""The local stack as a user has it: `local up` in one terminal, the other commands and HTTP in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_engine.local import environments
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from tests.support.waiting import HANG_SECONDS

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "inference_engine.cli"]
ROW = [[1.0, 2.0, 3.0, 4.0]]


@pytest.fixture
def terminal(tmp_path: Path) -> dict[str, str]:
    """The variables of a new terminal, whose user has no stack yet; environments are those of this machine."""
    # Built where it stays: scripts of an environment name its path.
    built = environments.ensure(environments.EMULATOR).parent
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "environments").symlink_to(built)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INFERENCE_ENGINE_"))}
    return own | {"INFERENCE_ENGINE_CACHE": str(tmp_path / "cache")}


def run(terminal: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=terminal, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


def test_up_env_post_and_down(terminal: dict[str, str], tmp_path: Path) -> None:
    write_tiny_models(tmp_path / "models", ["cats", "dogs"])
    port = free_port()
    options = ["--models", str(tmp_path / "models"), "--consumers", "1", "--no-triton", "--gateway", str(port)]
    stack = ChildProcess([*COMMAND, "local", "up", *options], log_file=tmp_path / "up.log", environment=terminal)
    stack.start()
    try:
        stack.wait_until_ready(lambda: (tmp_path / "cache" / "local.json").exists(), timeout_seconds=HANG_SECONDS)
        state: dict[str, Any] = json.loads(run(terminal, "local", "env", "--json").stdout)
        told = (tmp_path / "up.log").read_text()
        assert "labels: cats, dogs\n" in told
        assert f"logs are in {tmp_path / 'cache' / 'logs'}\n" in told

        second = run(terminal, "local", "up", "--consumers", "0")
        assert (second.returncode, "is already running" in second.stderr) == (1, True)

        posted = run(terminal | state["environment"], "post", "cats", json.dumps({"X": ROW}), "--wait")
        assert posted.returncode == 0, posted.stderr
        assert json.loads(posted.stdout)["Y"] == tiny_expected("cats", np.array(ROW)).tolist()

        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict",
            data=json.dumps({"model_name": "dogs", "inputs": {"X": ROW}}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
            assert json.load(answer)["outputs"]["Y"] == tiny_expected("dogs", np.array(ROW)).tolist()

        down = run(terminal, "local", "down")
        assert (down.returncode, down.stderr) == (0, "the local stack has ended\n")
        assert run(terminal, "local", "env").returncode == 1
    finally:
        stack.stop()
