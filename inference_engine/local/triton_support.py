"""What the wheel's Triton requires of this machine, and the backend folder that is made for it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

from ..errors import LocalStackError
from .cache import cache_folder, digest, locked
from .environments import MARKER
from .log_files import tail

#: The server is linked against this version.
MINIMUM_GLIBC = (2, 35)
MACHINES = ("x86_64", "aarch64")
#: Pythons that have both a stub in the wheel and a numpy 1, which the stub needs: with numpy 2 it loads models and
#: passes them wrong tensors without an error.
PYTHONS = ((3, 11), (3, 12))
#: The stub's exit status when the loader does not find a shared library.
MISSING_LIBRARY_STATUS = 127
STUB = "triton_python_backend_stub"
#: The library's own Triton backends: folders with a model.py.
OWN_BACKENDS = Path(__file__).parent / "triton_backends"


def unavailable_reason() -> str | None:
    """Why the wheel's server cannot run here, or None when it can. Only inspects this machine; installs nothing."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return f"Triton's wheel is for Linux on {' or '.join(MACHINES)}; this is {sys.platform} {platform.machine()}"
    if (found := glibc_version()) < MINIMUM_GLIBC:
        return (
            f"Triton's wheel needs glibc {_dotted(MINIMUM_GLIBC)} or later; this machine has {_dotted(found) or 'none'}"
        )
    if sys.version_info[:2] not in PYTHONS:
        wanted = " or ".join(map(_dotted, PYTHONS))
        return f"Triton's Python stub needs Python {wanted}; this is {platform.python_version()}"
    if libpython_folder() is None:
        return f"{_libpython()} is not installed, and Triton's Python stub needs it (a package named like libpython3)"
    return None


def glibc_version() -> tuple[int, ...]:
    """(major, minor) of glibc; empty where the C library is another one, musl for example."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError):
        return ()
    return tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else ()


@cache
def libpython_folder() -> Path | None:
    """The folder with this Python's shared library; None where there is none."""
    library, multiarch = sysconfig.get_config_var("LIBDIR") or "/usr/lib", sysconfig.get_config_var("MULTIARCH") or ""
    # Relocated interpreters record the LIBDIR of the machine that built them, so their own prefix comes first.
    candidates = [f"{sys.base_prefix}/lib", library, f"{library}/{multiarch}", f"/usr/lib/{multiarch}", "/usr/lib64"]
    return next((Path(folder) for folder in candidates if Path(folder, _libpython()).exists()), None)


def backend_folder(environment: Path) -> Path:
    """The folder for `--backend-directory`, made in the cache on first use, from the wheel in `environment`.

    It holds copies, not links: Triton uses the folder of the *resolved* file as its own. Raises LocalStackError where the
    Python stub cannot run.
    """
    server = server_folder(environment)
    sources = [
        server / "backends" / "python",
        server / "python_backend_stubs" / _dotted(sys.version_info[:2]),
        OWN_BACKENDS,
    ]
    folder = cache_folder() / "triton-backends" / f"{environment.name}-{_own_backends_hash()}"
    if (folder / MARKER).exists():
        return folder
    with locked(folder.with_name(folder.name + ".lock")):
        if not (folder / MARKER).exists():
            _copy_backends(sources, folder, library_path(environment))
    return folder


def server_folder(environment: Path) -> Path:
    """Where the wheel keeps the server inside an environment."""
    python = f"python{_dotted(sys.version_info[:2])}"
    return environment / "lib" / python / "site-packages" / "pytriton" / "tritonserver"


def library_path(environment: Path) -> str:
    """`LD_LIBRARY_PATH` for server and stub: libpython, and the wheel's own libraries, for files that are copied out of it."""
    return f"{libpython_folder()}{os.pathsep}{server_folder(environment).parents[1] / 'nvidia_pytriton.libs'}"


def _copy_backends(sources: list[Path], folder: Path, libraries: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    wheel_backend, stub, own = sources
    without = shutil.ignore_patterns("__pycache__", "__init__.py")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as temporary:
        new = Path(temporary) / "backends"
        shutil.copytree(own, new, ignore=without)
        shutil.copytree(wheel_backend, new / "python", ignore=without)
        shutil.copy2(stub / STUB, new / "python" / STUB)
        _check_stub(new / "python" / STUB, libraries)
        (new / MARKER).touch()
        new.rename(folder)


def _check_stub(stub: Path, libraries: str) -> None:
    """Run the stub without arguments: if a library is missing, a model load would hang instead of failing."""
    environment = os.environ | {"LD_LIBRARY_PATH": libraries}
    done = subprocess.run(  # noqa: S603 - a file of ours
        [str(stub)], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode == MISSING_LIBRARY_STATUS:
        raise LocalStackError(f"Triton's Python stub cannot run on this machine:\n{tail(done.stdout + done.stderr)}")


def _own_backends_hash() -> str:
    return digest(*(path.read_text() for path in sorted(OWN_BACKENDS.glob("*/model.py"))))


def _libpython() -> str:
    return f"libpython{_dotted(sys.version_info[:2])}.so.1.0"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
