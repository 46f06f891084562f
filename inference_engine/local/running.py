"""The one stack that `local up` runs for a user. Other terminals find it by a lock and a file beside it.

The process that runs the stack holds the lock as long as it lives, and the kernel frees it with the process. So a lock
that is held proves that the process id in the file is still that process, and not another one with the same number.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ..errors import LocalStackError
from .cache import cache_folder

POLL_SECONDS = 0.1
#: Another terminal that checks whether the stack runs holds the lock for an instant, so a start tries this often.
LOCK_TRIES = 5


def _lock_path() -> Path:
    return cache_folder() / "local.lock"


def _state_path() -> Path:
    return cache_folder() / "local.json"


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the lock. Raises LocalStackError where another process runs the stack."""
    path = _lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        if not _taken(lock):
            raise LocalStackError(
                "the local stack is already running; stop it with `inference-engine local down`, "
                'or use it after eval "$(inference-engine local env)"'
            )
        # The file of a killed stack names a process id that another process may have by now.
        _state_path().unlink(missing_ok=True)
        try:
            yield
        finally:
            _state_path().unlink(missing_ok=True)


def record(environment: Mapping[str, str], details: Mapping[str, Any]) -> None:
    """Tell other terminals how to reach the stack of this process, which holds the lock."""
    state = {"pid": os.getpid(), "environment": dict(environment), **details}
    new = _state_path().with_suffix(".new")
    new.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    new.replace(_state_path())


def state() -> dict[str, Any] | None:
    """What the running stack recorded; None where none runs or it is not ready yet."""
    if not _held():
        return None
    try:
        found: dict[str, Any] = json.loads(_state_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def end(timeout_seconds: float) -> bool:
    """End the running stack and wait until it is gone; False where none runs. Raises LocalStackError where it stays."""
    deadline = time.monotonic() + timeout_seconds
    signalled = False
    while _held():
        found = state()
        # A stack that is still starting has recorded nothing yet: it is ended as soon as it has.
        if found and not signalled:
            with suppress(ProcessLookupError):
                os.kill(int(found["pid"]), signal.SIGTERM)
            signalled = True
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"the local stack did not end within {timeout_seconds:g} s; press ctrl-C in its terminal"
            )
        time.sleep(POLL_SECONDS)
    return signalled


def _taken(lock: TextIO) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return True
    return False


def _held() -> bool:
    """Whether a process holds the lock."""
    try:
        with _lock_path().open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
