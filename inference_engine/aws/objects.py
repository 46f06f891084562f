"""A bucket's objects for a model store, over the same transport as all other calls to AWS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .transport import Transport, pages

#: Objects are read in parts of this size, so that a model of many gigabytes is never in memory as a whole.
PART_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its full key, its size in bytes and its ETag (quoted or not, as the service returns it)."""

    key: str
    size: int
    etag: str


class BucketObjects:
    """Lists and downloads objects of one bucket."""

    def __init__(self, transport: Transport, bucket: str) -> None:
        self._transport = transport
        self._bucket = bucket

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects whose key begins with `prefix`. Raises TransportError."""
        found: list[ObjectInfo] = []
        async for answer in pages(
            self._transport,
            "s3",
            "list_objects_v2",
            token="NextContinuationToken",  # noqa: S106 - a field's name
            start="ContinuationToken",
            Bucket=self._bucket,
            Prefix=prefix,
        ):
            found += [ObjectInfo(item["Key"], int(item["Size"]), item["ETag"]) for item in answer.get("Contents", [])]
        return found

    async def download(self, key: str, path: Path) -> None:
        """Write the object `key` to the file `path`. Raises TransportError, OSError.

        If the object is replaced between two parts, S3 rejects the request (`IfMatch`), so versions never mix.
        """
        head = await self._transport.call("s3", "head_object", Bucket=self._bucket, Key=key)
        size, etag = int(head["ContentLength"]), head["ETag"]
        with path.open("wb") as file:
            for start in range(0, size, PART_BYTES):
                part = await self._transport.call(
                    "s3",
                    "get_object",
                    Bucket=self._bucket,
                    Key=key,
                    Range=f"bytes={start}-{min(start + PART_BYTES, size) - 1}",
                    IfMatch=etag,
                )
                file.write(part["Body"])
