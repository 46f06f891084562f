"""Ties one server process to the application. Run as a script: guardian.py SHM_PREFIX COMMAND...

This small process runs between the application and a server that it starts. Its standard input is a pipe that the
application holds open, so it sees the application's end, even by SIGKILL, as end-of-file. It then kills the server's
whole process group and removes the shared memory whose name begins with SHM_PREFIX. It passes SIGTERM on to the server.

Asking the kernel to signal the server when its parent dies (PR_SET_PDEATHSIG) is not enough on its own: the signal
comes when the *thread* that started it ends, which in an application with worker threads may be at any time. Here it
only covers the death of this process, which has one thread. No imports from the package: it must start in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

#: How often to check that the parent is still the parent, in seconds: a fork of it may keep the pipe open.
PARENT_CHECK_SECONDS = 1.0
#: `prctl` option: send this process a signal when its parent dies.
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command, report `pid` (or `!reason`) on standard output, return the server's exit status."""
    shared_memory_prefix, command = arguments[0], arguments[1:]
    parent = os.getppid()
    awake_reader, awake_writer = os.pipe()
    os.set_blocking(awake_writer, False)
    signal.set_wakeup_fd(awake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _ignore)
    try:
        server = subprocess.Popen(  # noqa: S603 - the application's own command
            command, stdin=subprocess.DEVNULL, stdout=2, stderr=2, process_group=0, preexec_fn=_die_with_parent()
        )
    except OSError as error:
        print(f"!{error}", flush=True)
        return 127
    signal.signal(signal.SIGTERM, lambda _signal, _frame: server.terminate())
    with contextlib.suppress(OSError):  # the parent may be gone already; its end-of-file is waiting below
        print(server.pid, flush=True)
    try:
        while server.poll() is None and os.getppid() == parent:
            readable, _, _ = select.select([0, awake_reader], [], [], PARENT_CHECK_SECONDS)
            if awake_reader in readable:
                os.read(awake_reader, 4096)
            if 0 in readable and not os.read(0, 4096):
                break
    finally:
        _kill_group(server)
        if shared_memory_prefix:
            _remove_shared_memory(shared_memory_prefix)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """SIGCHLD needs a handler, or it would not end the select."""


def _die_with_parent() -> Callable[[], None] | None:
    """What the server runs before exec; safe here, because this process has no other threads."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    guardian = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian:  # the guardian died before the request was in place
            os._exit(1)

    return prepare


def _kill_group(server: subprocess.Popen[bytes]) -> None:
    """Kill the server and what it started: its helpers outlive it if it crashes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _remove_shared_memory(prefix: str) -> None:
    for path in glob.glob(f"/dev/shm/{glob.escape(prefix)}*"):  # noqa: S108 - that is where it is
        with contextlib.suppress(OSError):
            os.unlink(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
