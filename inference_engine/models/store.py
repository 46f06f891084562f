"""A model store copies a label's model into the model repository of a server on this machine, within a disk limit.

A model is copied to a temporary folder in the repository, verified, and renamed into place. So a server never sees half a
model, and a crash leaves nothing but a temporary folder, which the next start removes. Inside an installed model,
`.stored.json` records the fingerprint of what was copied: a model whose source has changed since is fetched again, and a
folder without the record was not made by the store and is left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..aio.single_flight import SingleFlightGroup
from ..errors import InferenceEngineError, ModelLoadError, SettingsError
from .disk import Disk, check_name, folder_bytes
from .sources import (
    MANIFEST_NAME,
    FolderSource,
    ModelSource,
    ObjectInfo,
    ObjectSource,
    PrefixSource,
    SourceFile,
    check_copy,
    read_manifest,
)

__all__ = [
    "DiskStore",
    "FolderStore",
    "ModelStore",
    "ObjectInfo",
    "ObjectSource",
    "S3Store",
    "StoredModel",
    "folder_bytes",
]

#: How many files of one model are copied at the same time.
COPIES_AT_ONCE = 4
#: How often a copy is tried while the model's source keeps changing.
COPY_TRIES = 3


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the repository: its folder, and the size of its files in bytes."""

    label: str
    path: Path
    size_bytes: int


class ModelStore(Protocol):
    """Brings models into a repository and keeps those that are in use."""

    async def fetch(self, label: str) -> StoredModel:
        """Bring the label's current model into the repository. Raises ModelLoadError, naming the source."""

    def pin(self, label: str) -> None:
        """Keep the label's model on disk until `unpin`, however often it is pinned."""

    def unpin(self, label: str) -> None:
        """Let the label's model be deleted when its room is needed; no error if it is not pinned."""


class DiskStore:
    """A `ModelStore` over any source. One store owns a repository at a time and is used from one event loop.

    With `max_bytes`, the least recently fetched models that are not pinned are deleted to make room for a new one. Pin
    a label before it is fetched, or the next fetch may delete it before a server has read it.
    """

    def __init__(self, source: ModelSource, repository: Path, max_bytes: int | None) -> None:
        self._source = source
        self._disk = Disk(repository, max_bytes)
        # A copy is stopped only when its last caller gives up: until then others wait for it.
        self._fetches: SingleFlightGroup[str, StoredModel] = SingleFlightGroup(cancel_unwanted=True)

    async def fetch(self, label: str) -> StoredModel:
        """The label's current model, copied only if it is not there yet; concurrent callers share one copy.

        Raises ModelLoadError, naming the source.
        """
        return await self._fetches.get(label, lambda: self._fetch(label))

    def pin(self, label: str) -> None:
        """Keep the label's model on disk until `unpin`, however often it is pinned."""
        self._disk.pinned.add(label)

    def unpin(self, label: str) -> None:
        """Let the label's model be deleted when its room is needed; no error if it is not pinned."""
        self._disk.pinned.discard(label)

    async def _fetch(self, label: str) -> StoredModel:
        check_name(label)
        try:
            await self._disk.prepare()
            for _ in range(COPY_TRIES):
                if stored := await self._fetch_once(label):
                    return stored
        except (InferenceEngineError, OSError) as error:
            raise ModelLoadError(f"model {label!r} cannot be fetched from {self._source}: {error}") from error
        raise ModelLoadError(
            f"model {label!r} changed at {self._source} during each of {COPY_TRIES} copies: "
            "finish the upload, then load it again"
        )

    async def _fetch_once(self, label: str) -> StoredModel | None:
        """The model, or None where its source changed during the copy."""
        files = await self._source.files(label)
        if not files:
            raise ModelLoadError("there is no model of that label; upload it there, or correct the label")
        fingerprint = _fingerprint(files)
        model = await self._disk.current(label, fingerprint)
        if model is None:
            async with self._disk.room(label, sum(file.size for file in files)), self._disk.incoming() as folder:
                try:
                    await self._copy(label, files, folder)
                except (InferenceEngineError, OSError):
                    if await self._changed(label, fingerprint):
                        return None
                    raise
                if await self._changed(label, fingerprint):
                    return None
                model = await self._disk.install(label, folder, fingerprint)
        return StoredModel(label, self._disk.path(label), model.size_bytes)

    async def _changed(self, label: str, fingerprint: str) -> bool:
        return _fingerprint(await self._source.files(label)) != fingerprint

    async def _copy(self, label: str, files: Iterable[SourceFile], folder: Path) -> None:
        """Copy and verify the files of a model. Raises ModelLoadError, OSError or what the source raises."""
        wanted = {file.path: file for file in files}
        digests: dict[str, str] = {}
        manifest = wanted.pop(MANIFEST_NAME, None)
        if manifest is not None:
            await self._copy_file(label, manifest, folder, None)
            digests = read_manifest(folder / MANIFEST_NAME)
            if missing := digests.keys() - wanted.keys():
                raise ModelLoadError(
                    f"{MANIFEST_NAME} lists files that are missing ({', '.join(sorted(missing))}): upload them"
                )
            # Files left from an earlier upload are not part of the model: a server might serve an old version.
            wanted = {path: wanted[path] for path in digests}
        slots = asyncio.Semaphore(COPIES_AT_ONCE)

        async def copy(file: SourceFile) -> None:
            async with slots:
                await self._copy_file(label, file, folder, digests.get(file.path))

        try:
            async with asyncio.TaskGroup() as group:
                for file in wanted.values():
                    group.create_task(copy(file))
        except BaseExceptionGroup as errors:
            # The first error stopped the other copies; callers want that error, not a group.
            raise errors.exceptions[0] from None

    async def _copy_file(self, label: str, file: SourceFile, folder: Path, sha256: str | None) -> None:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        await self._source.copy(label, file, target)
        await asyncio.to_thread(check_copy, target, file, sha256)


class FolderStore(DiskStore):
    """Models from `<source>/<label>/`, for example a shared file system."""

    def __init__(self, source: Path, repository: Path, max_bytes: int | None = None) -> None:
        super().__init__(FolderSource(source), repository, max_bytes)


class S3Store(DiskStore):
    """Models from `s3://bucket/prefix/<label>/`, read through `blobs`, which is bound to that bucket.

    Set `verify_etags` to False where objects are encrypted with a KMS key: their ETags are not MD5 digests. Raises
    SettingsError for another kind of address.
    """

    def __init__(
        self,
        url: str,
        repository: Path,
        max_bytes: int | None = None,
        *,
        blobs: ObjectSource,
        verify_etags: bool = True,
    ) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not bucket:
            raise SettingsError(f"{url!r} is not a place for models: give s3://bucket/prefix")
        super().__init__(PrefixSource(url, prefix, blobs, verify_etags=verify_etags), repository, max_bytes)


def _fingerprint(files: Iterable[SourceFile]) -> str:
    """A digest that changes whenever a file is added, removed or changed."""
    listed = sorted((file.path, file.size, file.tag) for file in files)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
