"""Bodies and results on their way: encoded, and moved to S3 when they do not fit."""

from __future__ import annotations

import asyncio
from typing import Any

from . import codec
from .aws.blobs import Blobs
from .errors import DecodeError, NotProvisionedError

#: Larger texts are encoded and decoded on a thread, so that the loop's other jobs go on.
THREAD_ABOVE_BYTES = 1_000_000


async def pack(blobs: Blobs, kind: str, value: Any, inline_max_bytes: int) -> tuple[str | None, str | None]:
    """`(text, None)` when it fits, `(None, reference)` when it went to S3. Raises EncodeError or PayloadTooLargeError."""
    text = await asyncio.to_thread(codec.encode, value) if _large(value) else codec.encode(value)
    if len(text) <= inline_max_bytes:
        return text, None
    return None, await blobs.put(kind, text)


async def unpack(blobs: Blobs, text: str | None, reference: str | None) -> Any:
    """The value that `pack` packed. Raises DecodeError, also when S3 no longer has it."""
    if text is None:
        if reference is None:
            raise DecodeError("a payload has neither text nor reference")
        try:
            text = await blobs.get(reference)
        except NotProvisionedError as error:
            raise DecodeError(f"the payload {reference} is no longer in S3: {error}") from error
    if len(text) > THREAD_ABOVE_BYTES:
        return await asyncio.to_thread(codec.decode, text)
    return codec.decode(text)


def _large(value: Any) -> bool:
    """Whether a value, or one of a mapping's, is an array or a string worth a thread."""
    parts = value.values() if isinstance(value, dict) else (value,)
    return any(_size(part) > THREAD_ABOVE_BYTES for part in parts)


def _size(value: Any) -> int:
    size = getattr(value, "nbytes", None)
    if size is None and isinstance(value, str | bytes):
        size = len(value)
    return size if isinstance(size, int) else 0
