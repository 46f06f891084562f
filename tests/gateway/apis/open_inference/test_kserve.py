"""KServe's client, unchanged, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from inference_engine import Consumer, Settings
from inference_engine.local import environments
from inference_engine.local.environments import EnvironmentSpec
from tests.support.gateway import running_gateway
from tests.support.project import PROJECT

pytestmark = pytest.mark.acceptance

SCRIPT = PROJECT / "tests" / "support" / "kserve_client.py"
#: What the client's modules import. The package itself asks for its server and for Kubernetes besides: twice the size.
KSERVE = EnvironmentSpec(
    "test-kserve",
    requirements=(
        "cloudevents>=1.6,<2",
        "fastapi>=0.115",
        "grpcio>=1.64",
        "httpx>=0.27",
        "numpy>=1.26",
        "orjson>=3.9",
        "pandas>=2.2,<3",
        "protobuf>=5",
        "psutil>=5.9",
        "pydantic>=2.6",
        "pyyaml>=6",
    ),
    bare_requirements=("kserve==0.21.*",),
)
#: With a load and a cold client; only a hang takes longer.
SECONDS = 120


def echo(body: dict[str, Any], message_id: str) -> dict[str, Any]:
    return body


def test_kserves_client_is_served(settings: Settings) -> None:
    python = environments.ensure(KSERVE, print) / "bin" / "python"
    with Consumer(settings, compute_result=echo), running_gateway(settings) as url:
        done = subprocess.run(
            [python, "-I", SCRIPT, url, "m"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    inferred = {"id": "mine", "model": "m", "X": True, "S": ["é", "", "b"]}
    assert json.loads(done.stdout) == {
        "live": True,
        "ready": True,
        "unknown_ready": False,
        "json": inferred,
        "binary": inferred,
        "model_ready": True,
        "refused": 400,
    }
