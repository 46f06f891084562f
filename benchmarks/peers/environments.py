"""The peers' private environments, and the releases installed in them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from inference_engine.local import environments
from inference_engine.local.environments import EnvironmentSpec, Progress

_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A task queue from PyPI: what to install, and the distributions whose releases matter."""

    spec: EnvironmentSpec
    distributions: tuple[str, ...]

    def python(self, progress: Progress) -> Path:
        """Its interpreter, in an environment that is built first if necessary. Raises LocalStackError."""
        return environments.ensure(self.spec, progress) / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """The installed releases."""
        python = self.spec.folder / "bin" / "python"
        answer = subprocess.run(
            [python, "-I", "-c", _VERSIONS, *self.distributions], check=True, capture_output=True, text=True
        )
        found: dict[str, str] = json.loads(answer.stdout)
        return found


CELERY = Peer(EnvironmentSpec("bench-celery", ("celery[sqs]>=5.5,<6", "boto3>=1.34")), ("celery", "kombu"))
TASKIQ = Peer(EnvironmentSpec("bench-taskiq", ("taskiq>=0.11", "taskiq-aio-sqs>=2")), ("taskiq", "taskiq-aio-sqs"))
DRAMATIQ = Peer(
    EnvironmentSpec("bench-dramatiq", ("dramatiq>=1.17", "dramatiq-sqs>=0.3")), ("dramatiq", "dramatiq-sqs")
)
