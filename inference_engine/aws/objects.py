"""S3: payloads that do not fit in a message or a record, and a bucket's objects for a model store."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from ..errors import PayloadTooLargeError
from .transport import Transport, pages

#: Objects are read in parts of this size, so that a model of many gigabytes is never in memory as a whole.
PART_BYTES = 16 * 1024**2


class Blobs:
    """Payloads in the deployment's bucket, under keys that nobody can guess or reuse."""

    def __init__(self, transport: Transport, bucket: str | None, max_bytes: int) -> None:
        self._transport = transport
        self._bucket = bucket
        self._max_bytes = max_bytes

    async def put(self, kind: str, text: str) -> str:
        """Store `text` and return its `s3://` reference. Raises PayloadTooLargeError before sending, and TransportError."""
        size = len(text)
        if size > self._max_bytes:
            raise PayloadTooLargeError(
                f"a {kind} of {size:,} bytes is over the limit of {self._max_bytes:,} (payload_max_bytes); "
                "put the data where the model can read it and send a reference"
            )
        if self._bucket is None:
            raise PayloadTooLargeError(
                f"a {kind} of {size:,} bytes does not fit inline and no bucket is set; set INFERENCE_ENGINE_BUCKET"
            )
        key = f"payloads/{kind}/{uuid.uuid4().hex}.json"
        await self._transport.call(
            "s3", "put_object", Bucket=self._bucket, Key=key, Body=text.encode("ascii"), ContentType="application/json"
        )
        return f"s3://{self._bucket}/{key}"

    async def get(self, reference: str) -> str:
        """Read the text behind a reference from `put`. Raises NotProvisionedError if it is gone, else TransportError."""
        bucket, _, key = reference.removeprefix("s3://").partition("/")
        answer = await self._transport.call("s3", "get_object", Bucket=bucket, Key=key)
        return bytes(answer["Body"]).decode("ascii")


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
