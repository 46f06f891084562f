"""The main job on real models in a real Triton, as `make demo` runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference_engine.local.triton import available
from inference_engine.local.triton_support import unavailable_reason

pytestmark = pytest.mark.acceptance

JOBS = 200
#: The first run on a machine downloads models and builds Triton's environment.
DEMO_SECONDS = 900
LABELS, SLOTS = 5, 4


def demo(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "inference_engine.cli", "demo", "--jobs", str(JOBS), "--json", *arguments]
    if url := os.environ.get("AWS_ENDPOINT_URL"):
        command += ["--endpoint-url", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def check(outcome: dict[str, Any]) -> None:
    assert outcome["ok"]
    assert outcome["posted"] == outcome["results"] == outcome["succeeded"] == outcome["computed"] == JOBS
    assert len({row["label"] for row in outcome["rows"]}) == LABELS
    # One bulk over one label more than there are slots: each label is served to its end, so hardly a second load.
    assert LABELS <= outcome["misses"] <= LABELS + 1
    first, second, _ = outcome["neighbours"]
    assert "refund" in first["sentence"]
    assert first["cosine"] > second["cosine"] > 0.3
    assert outcome["examples"]["magika"].startswith("python")


@pytest.mark.skipif(not available(), reason=str(unavailable_reason()))
def test_the_demo_on_triton(aws_environment: str) -> None:
    outcome = demo()
    assert outcome["backend"] == "triton"
    check(outcome)
    left = [path.name for path in Path("/dev/shm").glob("inference-engine-triton-*") if _ours(path.name)]
    assert left == []


def test_the_demo_without_triton(aws_environment: str) -> None:
    outcome = demo("--no-triton")
    assert outcome["backend"] == "onnxruntime"
    check(outcome)


def _ours(name: str) -> bool:
    """Whether a region's owner, named by its process id, is gone: then it was left behind."""
    owner = name.removeprefix("inference-engine-triton-").partition("-")[0]
    return owner.isdigit() and not Path(f"/proc/{owner}").exists()
