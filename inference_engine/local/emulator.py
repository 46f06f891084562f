"""AWS on this machine: the emulator as a separate process, on loopback."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from . import environments, log_files
from .environments import Progress, silent
from .processes import ChildProcess, check_ports, free_port

#: A start takes half a second; a busy machine may need much longer.
READY_TIMEOUT_SECONDS = 30.0
#: The emulator accepts any key; this one shows that it is not real.
TEST_KEY = "test"


class Emulator:
    """SQS, DynamoDB, S3 and the other services that a pipeline needs, on 127.0.0.1; state is lost when it stops.

    `port` None chooses a free one; `log_file` defaults to one in the cache folder; `progress` is called on the first
    use, which builds the emulator's environment.

        with Emulator() as emulator:
            os.environ.update(emulator.environment())
    """

    #: What the emulator's interpreter runs, and its arguments.
    scripts: tuple[Path, ...] = (Path(__file__).with_name("emulator_server.py"),)

    def __init__(
        self,
        port: int | None = None,
        *,
        region: str = "us-east-1",
        log_file: Path | None = None,
        progress: Progress = silent,
    ) -> None:
        self.port = port or free_port()
        self.region = region
        self.log_file = log_file or log_files.log_file("emulator", self.port)
        self._progress = progress
        self._process: ChildProcess | None = None

    @property
    def endpoint_url(self) -> str:
        """The endpoint for AWS clients."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The emulator's process id while it runs."""
        return self._process.pid if self._process else None

    def environment(self) -> dict[str, str]:
        """The variables with which AWS SDKs and the AWS CLI talk to this emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": TEST_KEY,
            "AWS_SECRET_ACCESS_KEY": TEST_KEY,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def start(self) -> None:
        """Start it and wait until it answers. Raises LocalStackError, with the reason and the end of its log."""
        check_ports(self.port)
        folder = environments.ensure(environments.EMULATOR, self._progress)
        # An application's own endpoint settings would send the emulator's inner calls elsewhere.
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PYTHON"))}
        variables |= self.environment()
        variables |= {
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        # -P: modules in this folder have names that the emulator's libraries may import.
        command = [str(folder / "bin" / "python"), "-P", *map(str, self.scripts)]
        process = ChildProcess(command, log_file=self.log_file, environment=variables)
        process.start()
        self._process = process
        process.wait_until_ready(self._answers, timeout_seconds=READY_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it; no error where it is not running."""
        process, self._process = self._process, None
        if process:
            process.stop()

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        return http_ok(f"{self.endpoint_url}/_ministack/health")


def http_ok(url: str, timeout_seconds: float = 2.0) -> bool:
    """Whether a GET of `url` on loopback answers with success; never raises."""
    # An opener without proxies: an application's HTTP_PROXY must not catch loopback calls.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_seconds) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False
