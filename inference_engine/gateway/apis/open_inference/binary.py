"""Tensors as bytes: C order, little-endian; BOOL one byte each; BYTES elements each preceded by their length in four bytes.

Source: Triton, "Binary tensor data extension".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....tensors import DTYPES


class RequestError(ValueError):
    """The request cannot be read, or its answer cannot be given in the form that it requests."""


class ResultError(Exception):
    """The job's result has no form in the protocol."""


_LENGTH = struct.Struct("<I")


def read(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any]:
    """The array of an input, which takes up all of `data`. Raises RequestError."""
    if datatype == "BYTES":
        return texts(_elements(name, math.prod(shape), data)).reshape(shape)
    dtype = DTYPES[datatype].newbyteorder("<")
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise RequestError(
            f"input {name!r}: {datatype} {list(shape)} takes {wanted} bytes, but its binary data has {len(data)}"
        )
    if datatype == "BOOL" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise RequestError(f"input {name!r}: a byte of its BOOL data is neither 0 nor 1")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def write(array: NDArray[Any]) -> bytes:
    """The bytes of an output."""
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts: list[bytes] = []
    for item in array.flat:
        element = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else item
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def texts(elements: Sequence[bytes]) -> NDArray[Any]:
    """An array of strings where all elements are UTF-8, else of bytes: one type for the whole tensor."""
    found: Sequence[str | bytes]
    try:
        found = [element.decode() for element in elements]
    except UnicodeDecodeError:
        found = elements
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _elements(name: str, count: int, data: memoryview) -> list[bytes]:
    if count * _LENGTH.size > len(data):
        raise RequestError(
            f"input {name!r}: {count} BYTES elements take at least {count * _LENGTH.size} bytes, "
            f"but its binary data has {len(data)}"
        )
    elements, at = [], 0
    for index in range(count):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else start
        if at > len(data):
            raise RequestError(
                f"input {name!r}: its binary data ends within element {index} of {count}; "
                "each element is preceded by its length, in four bytes, little-endian"
            )
        elements.append(bytes(data[start:at]))
    if at != len(data):
        raise RequestError(f"input {name!r}: {len(data) - at} bytes follow its {count} elements")
    return elements
