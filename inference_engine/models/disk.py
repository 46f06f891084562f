"""The models that a store has installed in a repository: which are there, when each was used, which must be deleted.

Methods run on the event loop's thread, so code between two awaits is atomic; anything slow runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelLoadError
from .sources import RECORD_NAME, walk

__all__ = ["Disk", "Installed", "check_name", "folder_bytes"]

#: The store's work folder. It is inside the repository, since a rename is atomic within one file system only.
WORK_FOLDER = ".model-store"
#: The longest file name that file systems allow, in bytes.
NAME_MAX_BYTES = 255


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed model, from its record: the source's fingerprint, and the size in bytes of each file by its path."""

    fingerprint: str
    files: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


def check_name(label: str) -> str:
    """`label` itself. Raises ModelLoadError where it cannot be the name of a folder in a repository."""
    forbidden = any(character in label for character in "/\\\0")
    if not label or label.startswith(".") or forbidden or len(label.encode("utf-8", "surrogatepass")) > NAME_MAX_BYTES:
        raise ModelLoadError(
            f"label {label!r} cannot be the name of a model's folder: use a label of at most {NAME_MAX_BYTES} "
            "bytes that contains no '/' or '\\' and does not begin with '.'"
        )
    return label


def folder_bytes(folder: Path) -> int:
    """The bytes of all files below `folder`; 0 if it does not exist."""
    return sum(path.stat().st_size for path in walk(folder)) if folder.is_dir() else 0


class Disk:
    """Installed models of one repository, least recently used first, at most `max_bytes` of them (None: no limit)."""

    def __init__(self, repository: Path, max_bytes: int | None) -> None:
        self.pinned: set[str] = set()
        self._repository = repository
        self._max_bytes = max_bytes
        self._work = repository / WORK_FOLDER
        self._models: dict[str, Installed] = {}
        self._reserved_bytes = 0
        self._preparing = asyncio.Lock()
        self._prepared = False

    async def prepare(self) -> None:
        """Once: remove what an earlier process left unfinished, and read what it installed. Raises OSError."""
        async with self._preparing:
            if not self._prepared:
                self._models = await asyncio.to_thread(self._restore)
                self._prepared = True

    def path(self, label: str) -> Path:
        """The folder of the label's model, whether or not it exists."""
        return self._repository / label

    async def current(self, label: str, fingerprint: str) -> Installed | None:
        """The installed model if it is complete and has that fingerprint; it counts as used now.

        Raises ModelLoadError where a folder of that name was not made by this store.
        """
        model = self._models.get(label)
        if model is None:
            self._refuse_foreign(label)
            return None
        complete = model.fingerprint == fingerprint and await asyncio.to_thread(_complete, self.path(label), model)
        # Another fetch may have deleted it meanwhile to make room.
        if not complete or self._models.get(label) is not model:
            return None
        self._touch(label)
        return model

    @contextlib.asynccontextmanager
    async def room(self, label: str, size_bytes: int) -> AsyncIterator[None]:
        """Reserve `size_bytes` for a copy of the label's model, deleting models that are not pinned to make room.

        Raises ModelLoadError where there is not enough room even then.
        """
        # All at once and before the first await, so that two fetches never claim the room of the same model.
        trash = [self._discard(victim) for victim in self._victims(label, size_bytes)]
        self._reserved_bytes += size_bytes
        try:
            for folder in trash:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            yield
        finally:
            self._reserved_bytes -= size_bytes

    @contextlib.asynccontextmanager
    async def incoming(self) -> AsyncIterator[Path]:
        """A new empty folder, which is deleted afterwards unless it was installed."""
        folder = self._work / "incoming" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def install(self, label: str, folder: Path, fingerprint: str) -> Installed:
        """Make `folder` the label's model, in place of an older one. Raises OSError."""
        model = await asyncio.to_thread(_write_record, folder, fingerprint)
        outdated = self._put(label, folder, model)
        if outdated is not None:
            await asyncio.to_thread(shutil.rmtree, outdated, ignore_errors=True)
        return model

    def _victims(self, label: str, size_bytes: int) -> list[str]:
        """The models to delete to make room for `size_bytes` more; the label's own outdated copy comes last."""
        if self._max_bytes is None:
            return []
        excess = sum(model.size_bytes for model in self._models.values()) + self._reserved_bytes + size_bytes
        excess -= self._max_bytes
        candidates = [name for name in self._models if name not in self.pinned and name != label]
        victims = []
        for name in [*candidates, *([label] if label in self._models else [])]:
            if excess <= 0:
                break
            victims.append(name)
            excess -= self._models[name].size_bytes
        if excess > 0:
            raise ModelLoadError(
                f"its {size_bytes} bytes are {excess} too many for max_bytes={self._max_bytes} of {self._repository}, "
                "together with the models in use: raise max_bytes, or load fewer models at once"
            )
        return victims

    def _put(self, label: str, folder: Path, model: Installed) -> Path | None:
        """Rename `folder` into place; returns the folder that it replaced, to be deleted."""
        outdated = self._discard(label) if label in self._models else None
        folder.rename(self.path(label))
        self._models[label] = model
        self._touch(label)
        return outdated

    def _discard(self, label: str) -> Path:
        """Move the label's model out of the repository; returns its new folder, to be deleted.

        It is renamed before it is deleted, so that a crash leaves no half-deleted model in the repository.
        """
        del self._models[label]
        trash = self._work / "trash" / uuid.uuid4().hex
        trash.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path(label).rename(trash)
        self._used(label).unlink(missing_ok=True)
        return trash

    def _refuse_foreign(self, label: str) -> None:
        if os.path.lexists(self.path(label)):
            raise ModelLoadError(
                f"{self.path(label)} was not made by this store: move it away, or use another repository for the store"
            )

    def _touch(self, label: str) -> None:
        self._models[label] = self._models.pop(label)
        # Kept outside the model's folder: servers take a newer time in it for a changed model, which they load again.
        self._used(label).parent.mkdir(parents=True, exist_ok=True)
        self._used(label).touch()

    def _used(self, label: str) -> Path:
        return self._work / "used" / label

    def _restore(self) -> dict[str, Installed]:
        self._repository.mkdir(parents=True, exist_ok=True)
        for leftover in ("incoming", "trash"):
            shutil.rmtree(self._work / leftover, ignore_errors=True)
        found: list[tuple[int, str, Installed]] = []
        for folder in self._repository.iterdir():
            record = folder / RECORD_NAME
            if (model := _read_record(record)) is not None:
                used = self._used(folder.name)
                time = used if used.exists() else record
                found.append((time.stat().st_mtime_ns, folder.name, model))
        return {name: model for _, name, model in sorted(found, key=lambda item: item[0])}


def _write_record(folder: Path, fingerprint: str) -> Installed:
    model = Installed(fingerprint, {path.relative_to(folder).as_posix(): path.stat().st_size for path in walk(folder)})
    (folder / RECORD_NAME).write_text(json.dumps({"fingerprint": model.fingerprint, "files": model.files}))
    return model


def _read_record(path: Path) -> Installed | None:
    """The record at `path`; None where there is none, so that the folder is not this store's."""
    try:
        record = json.loads(path.read_text())
        return Installed(record["fingerprint"], record["files"])
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):
        # Only this store writes a file of that name, so the model is its own; no fingerprint matches, so it is fetched again.
        return Installed("", {})


def _complete(folder: Path, model: Installed) -> bool:
    try:
        return all((folder / name).stat().st_size == size for name, size in model.files.items())
    except OSError:
        return False
