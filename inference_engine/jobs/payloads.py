"""Bodies and results in transit: encoded, and moved to S3 when they do not fit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

from ..aws.objects import Blobs
from ..errors import DecodeError, NotProvisionedError
from . import codec

#: Larger texts are encoded and decoded on a thread, so that they do not block the loop's other jobs.
THREAD_ABOVE_BYTES = 1_000_000
#: What an element of a list or a mapping counts for, apart from the text in it: the digits of a number, and a comma.
ELEMENT_BYTES = 16
#: Types whose values count for no more than that.
_COUNTED = frozenset({int, float, bool, type(None)})


async def pack(blobs: Blobs, kind: str, value: Any, inline_max_bytes: int) -> tuple[str | None, str | None]:
    """`(text, None)` when it fits, `(None, reference)` when it went to S3. Raises EncodeError or PayloadTooLargeError."""
    text = await asyncio.to_thread(codec.encode, value) if exceeds(value, THREAD_ABOVE_BYTES) else codec.encode(value)
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


def exceeds(value: Any, size_bytes: int) -> bool:
    """Whether a value takes more than about `size_bytes` as text; stops as soon as it does."""
    found, rest = 0, [value]
    for item in rest:
        if type(item) in _COUNTED:
            continue
        if isinstance(item, str | bytes | bytearray):
            found += len(item)
        elif isinstance(item, list | tuple | dict):
            found += ELEMENT_BYTES * len(item)
        else:
            found += _nbytes(item)
        if found > size_bytes:
            return True
        rest.extend(_parts(item))
    return False


def _nbytes(value: Any) -> int:
    """The bytes of an array; 0 for anything else."""
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _parts(value: Any) -> Iterable[Any]:
    """The parts of a value that have their own sizes: elements of lists and of arrays of objects, keys and values of mappings."""
    if isinstance(value, dict):
        return itertools.chain(value, value.values())
    if isinstance(value, list | tuple):
        return value
    return value.ravel() if getattr(getattr(value, "dtype", None), "kind", "") == "O" else ()
