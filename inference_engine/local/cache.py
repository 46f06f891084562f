"""The cache folder: private environments, models, logs, and the locks that keep processes out of each other's way."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import LocalStackError


def cache_folder() -> Path:
    """`$INFERENCE_ENGINE_CACHE`, else `$XDG_CACHE_HOME/inference-engine`, else `~/.cache/inference-engine`."""
    if own := os.environ.get("INFERENCE_ENGINE_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "inference-engine"


def digest(*parts: str) -> str:
    """A short hash of `parts`, for the names of cached folders."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (created), across processes; the kernel frees it if the holder dies.

    Raises LocalStackError where the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise LocalStackError(
            f"the cache folder {path.parent} cannot be written ({error}); set INFERENCE_ENGINE_CACHE to one that can"
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
