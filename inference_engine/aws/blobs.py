"""S3: payloads that do not fit in a message or a record."""

from __future__ import annotations

import uuid

from ..errors import PayloadTooLargeError
from .transport import Transport


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
