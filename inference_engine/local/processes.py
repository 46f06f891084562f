"""Child processes that never outlive the application, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import LocalStackError
from . import guardian
from .log_files import tail_of_file

#: Below the range that kernels use for outgoing connections, so that none of those takes a port first.
PORT_RANGE = (15_000, 32_000)
#: Ports that this process has chosen: a server may start, and bind its port, only later.
_given_ports: set[int] = set()
#: A ready check is a refused or answered connection on loopback: cheap, and a start takes tens of milliseconds.
READY_POLL_SECONDS = 0.01
#: How long a process that was asked to stop may take before it is killed.
STOP_GRACE_SECONDS = 5.0
#: How long the guardian may take to kill the server and clean up.
KILL_SECONDS = 5.0


class ChildProcess:
    """One server process with its log file; see `guardian` for why it does not outlive this process.

    `command` is the program with its arguments, `environment` all of its variables (default: this process's own),
    `shared_memory_prefix` names the files in /dev/shm to remove when it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        shared_memory_prefix: str = "",
    ) -> None:
        self.command = list(command)
        self.log_file = log_file
        self.environment = dict(os.environ if environment is None else environment)
        self.shared_memory_prefix = shared_memory_prefix
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def name(self) -> str:
        """The program's file name, for messages."""
        return Path(self.command[0]).name

    @property
    def pid(self) -> int | None:
        """The server's process id; None before the start and after the stop."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._guardian is not None and self._guardian.poll() is None

    def start(self) -> None:
        """Start it. Raises LocalStackError where the program cannot be run, RuntimeError where it was started already."""
        if self._guardian is not None:
            raise RuntimeError(f"{self.name} is already started")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        # -I -S: no site packages, none of the application's variables; starts in about 15 ms
        leash = [sys.executable, "-I", "-S", guardian.__file__, self.shared_memory_prefix]
        with self.log_file.open("ab") as log:
            self._guardian = subprocess.Popen(  # noqa: S603 - the command is the caller's
                [*leash, *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
                start_new_session=True,  # the application handles Ctrl-C in the terminal
            )
        assert self._guardian.stdout is not None
        reported = self._guardian.stdout.readline().decode().strip()
        if not reported.isdigit():
            self.stop()
            raise LocalStackError(f"{self.command[0]} could not be started: {reported.lstrip('!') or 'no answer'}")
        self._pid = int(reported)

    def wait_until_ready(self, check: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return when `check` is true; on an early end or after `timeout_seconds` stop it and raise LocalStackError."""
        deadline = time.monotonic() + timeout_seconds
        while not check():
            if not self.running:
                problem = "ended while starting"
            elif time.monotonic() > deadline:
                problem = f"was not ready after {timeout_seconds:g} s"
            else:
                time.sleep(READY_POLL_SECONDS)
                continue
            self.stop()
            raise LocalStackError(f"{self.name} {problem}; end of {self.log_file}:\n{tail_of_file(self.log_file)}")

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """SIGTERM, then SIGKILL to its group after `grace_seconds`; returns when it is gone. No error if not running."""
        leash, self._guardian, self._pid = self._guardian, None, None
        if leash is None:
            return
        assert leash.stdin is not None
        assert leash.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            leash.send_signal(signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                leash.wait(grace_seconds)
            leash.stdin.close()  # end-of-file: the guardian kills the group and cleans up
            leash.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            leash.kill()  # the server goes with it, by PR_SET_PDEATHSIG
            leash.wait()
        finally:
            leash.stdin.close()
            leash.stdout.close()


def free_port() -> int:
    """A free TCP port on 127.0.0.1, never the same twice in one process. Raises LocalStackError where none is found."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different free ports on 127.0.0.1; all are held during the search, so that none is found twice."""
    low, high = PORT_RANGE
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for candidate in random.sample(range(low, high), 200 * count):
            attempt = held.enter_context(socket.socket())
            try:
                attempt.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            if candidate not in _given_ports:
                ports.append(candidate)
            if len(ports) == count:
                _given_ports.update(ports)
                return ports
    raise LocalStackError(f"no {count} free TCP ports between {low} and {high} on 127.0.0.1")


def check_ports(*ports: int) -> None:
    """Raise LocalStackError where something listens on one of `ports`: it would answer instead of a new server."""
    for port in ports:
        with socket.socket() as attempt:
            # Without it, an earlier server's connections that are still closing would count.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError as error:
                raise LocalStackError(
                    f"port {port} on 127.0.0.1 cannot be used ({error}); stop what listens there or choose another port"
                ) from error


def process_exists(pid: int) -> bool:
    """Whether a process with this id exists (zombies included)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
