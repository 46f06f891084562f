"""Where models come from: a folder, or objects under a prefix. A source lists a label's files and copies them singly.

A model's folder may hold a `manifest.json` (see `build_manifest`) with the SHA-256 of each file. Such a manifest says
what belongs to the model, and every copy is checked against it. Without one, copies are checked by size and, for objects,
by an ETag that is a plain MD5.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..aws.objects import ObjectInfo
from ..errors import ModelLoadError

__all__ = [
    "MANIFEST_NAME",
    "RECORD_NAME",
    "FolderSource",
    "ModelSource",
    "ObjectInfo",
    "ObjectSource",
    "PrefixSource",
    "SourceFile",
    "build_manifest",
    "check_copy",
    "check_relative",
    "read_manifest",
]

#: The file in a model's folder that lists its files and their digests.
MANIFEST_NAME = "manifest.json"
#: The store's own note in an installed model; never part of a model.
RECORD_NAME = ".stored.json"

_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")


class ObjectSource(Protocol):
    """The two calls that a store needs of an object service."""

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects whose key begins with `prefix`."""

    async def download(self, key: str, path: Path) -> None:
        """Write the object `key` to the file `path`."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a model: its path in the model's folder, its size in bytes, and a tag that changes with its content."""

    path: str
    size: int
    tag: str
    md5: str | None = None


class ModelSource(Protocol):
    """Files of models by label. `str()` of a source is its name in messages."""

    async def files(self, label: str) -> list[SourceFile]:
        """The label's files; empty where there is no model of that label."""

    async def copy(self, label: str, file: SourceFile, target: Path) -> None:
        """Write one of the label's files to `target`, whose folder exists."""


class FolderSource:
    """Models as `<root>/<label>/…` on a file system. A file's tag is its time of modification."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    async def files(self, label: str) -> list[SourceFile]:
        return await asyncio.to_thread(self._files, self._root / label)

    async def copy(self, label: str, file: SourceFile, target: Path) -> None:
        await asyncio.to_thread(shutil.copyfile, self._root / label / file.path, target)

    @staticmethod
    def _files(folder: Path) -> list[SourceFile]:
        if not folder.is_dir():
            return []
        files = []
        for path in walk(folder):
            status = path.stat()
            files.append(SourceFile(path.relative_to(folder).as_posix(), status.st_size, str(status.st_mtime_ns)))
        return files


class PrefixSource:
    """Models as objects `<prefix>/<label>/…`. A file's tag is its ETag.

    A plain MD5 ETag is compared with the downloaded file unless `verify_etags` is False: the ETags of objects that are
    encrypted with a KMS key look the same but are not MD5 digests.
    """

    def __init__(self, name: str, prefix: str, objects: ObjectSource, *, verify_etags: bool = True) -> None:
        self._name = name
        self._prefix = prefix.strip("/")
        self._objects = objects
        self._verify_etags = verify_etags

    def __str__(self) -> str:
        return self._name

    async def files(self, label: str) -> list[SourceFile]:
        folder = self._folder(label)
        objects = await self._objects.list(folder)
        # Consoles make empty objects that end in '/', to show a folder.
        return [self._file(folder, item) for item in objects if not item.key.endswith("/")]

    async def copy(self, label: str, file: SourceFile, target: Path) -> None:
        await self._objects.download(self._folder(label) + file.path, target)

    def _folder(self, label: str) -> str:
        # With the closing '/', so that the label `bert` does not take the files of `bert-large`.
        return f"{self._prefix}/{label}/" if self._prefix else f"{label}/"

    def _file(self, folder: str, item: ObjectInfo) -> SourceFile:
        etag = item.etag.strip('"')
        md5 = etag if self._verify_etags and _PLAIN_MD5.fullmatch(etag) else None
        return SourceFile(check_relative(item.key.removeprefix(folder)), item.size, etag, md5)


def walk(folder: Path) -> Iterator[Path]:
    """All files below `folder`, except the store's own record; links are followed. Raises OSError."""

    def stop(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, followlinks=True, onerror=stop):
        yield from (Path(parent, name) for name in names if name != RECORD_NAME)


def check_relative(path: str) -> str:
    """`path` itself. Raises ModelLoadError where it leaves the folder that it is relative to."""
    if any(part in ("", ".", "..") for part in path.split("/")) or "\\" in path or "\0" in path:
        raise ModelLoadError(f"the file name {path!r} is not a plain path inside the model's folder: rename the file")
    return path


def build_manifest(folder: Path) -> dict[str, Any]:
    """The content for `manifest.json` of the model in `folder`: `{"files": {path: {"sha256": hex, "size": bytes}}}`."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(walk(folder))}
    files.pop(MANIFEST_NAME, None)
    return {
        "files": {
            name: {"sha256": _digest(path, "sha256"), "size": path.stat().st_size} for name, path in files.items()
        }
    }


def read_manifest(path: Path) -> dict[str, str]:
    """The SHA-256 of each file, by its path in the model's folder. Raises ModelLoadError where it cannot be read."""
    try:
        files = json.loads(path.read_text())["files"]
        return {check_relative(name): entry["sha256"].lower() for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{MANIFEST_NAME} cannot be read ({error!r}): write it with build_manifest") from error


def check_copy(path: Path, file: SourceFile, sha256: str | None) -> None:
    """Check the copy at `path` against the source and the manifest. Raises ModelLoadError where it differs, OSError."""
    size = path.stat().st_size
    if size != file.size:
        raise ModelLoadError(f"{file.path} has {size} bytes after copying, {file.size} at the source: try again")
    if sha256 is not None:
        if _digest(path, "sha256") != sha256:
            raise ModelLoadError(f"{file.path} does not have the SHA-256 that {MANIFEST_NAME} gives: upload it again")
    elif file.md5 is not None and _digest(path, "md5") != file.md5:
        raise ModelLoadError(
            f"{file.path} does not have the MD5 of its ETag: upload it again; if the bucket encrypts with a KMS key, "
            f"its ETags are not MD5 digests: add a {MANIFEST_NAME} or switch verify_etags off"
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        # S3 computes MD5; here it detects damage, not forgery.
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
