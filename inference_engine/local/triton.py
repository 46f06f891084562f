"""Triton Inference Server on this machine, without docker or GPU: the server inside a Python wheel."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType

from ..errors import LocalStackError
from . import environments, log_files
from .emulator import http_ok
from .environments import Progress, silent
from .processes import ChildProcess, check_ports, free_ports, process_exists
from .triton_support import backend_folder, library_path, server_folder, unavailable_reason

#: A start takes a tenth of a second; a busy machine may need much longer.
READY_TIMEOUT_SECONDS = 30.0
#: How long the server waits for requests in flight when it is told to stop.
EXIT_TIMEOUT_SECONDS = 5
#: More than the server's own exit timeout, so that only a server that hangs gets SIGKILL.
STOP_GRACE_SECONDS = EXIT_TIMEOUT_SECONDS + 3.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux
#: Names of the server's shared memory begin with this, the owner's process id and a random part.
SHARED_MEMORY_PREFIX = "inference-engine-triton-"
#: Large buffers come straight from the kernel and go back to it, so that an unload really returns a model's memory.
MALLOC_THRESHOLD_BYTES = 128 * 1024


def available() -> bool:
    """Whether Triton's wheel can run on this machine; `unavailable_reason()` says why not."""
    return unavailable_reason() is None


class TritonServer:
    """One server over the model repository `repository`, on 127.0.0.1, in explicit model control: nothing is loaded.

    A port of None is chosen; `log_file` defaults to one in the cache folder; `progress` is called on the first use, which
    builds the server's environment. The server and its shared memory end with this process, whatever ends it.
    """

    def __init__(
        self,
        repository: Path,
        *,
        grpc_port: int | None = None,
        http_port: int | None = None,
        metrics_port: int | None = None,
        log_file: Path | None = None,
        progress: Progress = silent,
    ) -> None:
        chosen = free_ports(3)
        self.repository = repository.absolute()
        self.grpc_port = grpc_port or chosen[0]
        self.http_port = http_port or chosen[1]
        self.metrics_port = metrics_port or chosen[2]
        self.log_file = log_file or log_files.log_file("triton", self.http_port)
        self.shared_memory_prefix = f"{SHARED_MEMORY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}-"
        self._progress = progress
        self._process: ChildProcess | None = None

    @property
    def grpc_url(self) -> str:
        """host:port, as tritonclient.grpc expects it."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """host:port, as tritonclient.http expects it."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """The URL of the Prometheus metrics."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the server's process is running."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the server and wait until it is ready, without models.

        Raises LocalStackError where this machine cannot run it, or, with the end of its log, where it does not start.
        """
        if reason := unavailable_reason():
            raise LocalStackError(f"{reason}; use OnnxBackend, which runs the same models in the application's process")
        if not self.repository.is_dir():
            raise LocalStackError(f"the model repository {self.repository} is not a folder; create it first")
        check_ports(self.grpc_port, self.http_port, self.metrics_port)
        environment = environments.ensure(environments.TRITON, self._progress)
        remove_stale_shared_memory()
        process = ChildProcess(
            [str(server_folder(environment) / "bin" / "tritonserver"), *self._options(backend_folder(environment))],
            log_file=self.log_file,
            environment=_variables(environment),
            shared_memory_prefix=self.shared_memory_prefix,
        )
        process.start()
        self._process = process
        process.wait_until_ready(self._answers, timeout_seconds=READY_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop the server; no error where it is not running.

        Close its clients first: for each connection that is still open, the server waits its whole exit timeout.
        """
        process, self._process = self._process, None
        if process:
            process.stop(STOP_GRACE_SECONDS)
        remove_shared_memory(self.shared_memory_prefix)

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        return http_ok(f"http://{self.http_url}/v2/health/ready")

    def _options(self, backends: Path) -> list[str]:
        return [
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            # Without this, every load starts the Python stub a second time, only to read the configuration.
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory_prefix}",
            "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1",
            "--metrics-address=127.0.0.1",
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
        ]


def remove_shared_memory(prefix: str) -> None:
    """Remove the shared memory regions whose names begin with `prefix`."""
    if prefix and SHARED_MEMORY.is_dir():
        for path in SHARED_MEMORY.glob(f"{prefix}*"):
            path.unlink(missing_ok=True)


def remove_stale_shared_memory() -> None:
    """Remove shared memory of servers whose owner was killed together with the guardian that would have removed it."""
    if not SHARED_MEMORY.is_dir():
        return
    for path in SHARED_MEMORY.glob(f"{SHARED_MEMORY_PREFIX}*"):
        owner = path.name.removeprefix(SHARED_MEMORY_PREFIX).partition("-")[0]
        if owner.isdigit() and not process_exists(int(owner)):
            path.unlink(missing_ok=True)


def _variables(environment: Path) -> dict[str, str]:
    """The server's environment variables: its Python stub finds the interpreter in PATH."""
    return os.environ | {
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": library_path(environment),
        "MALLOC_MMAP_THRESHOLD_": str(MALLOC_THRESHOLD_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(MALLOC_THRESHOLD_BYTES),
    }
