"""A job's result as tensors.

A mapping becomes a tensor for each of its keys, anything else the single output `output`. Arrays keep their datatype. Numbers,
booleans and strings, and lists of one of these kinds that are at most DIMENSIONS_MAX deep, take the widest type of their kind:
INT64 (UINT64 where only that holds them), FP64, BOOL, BYTES; a single value has the shape [1]. Bytes are one element of BYTES.
Anything else (null, ragged or deeper lists, objects inside) becomes its JSON, as one element of BYTES; the library's codec
encodes arrays and bytes in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....jobs import codec
from ....tensors import datatype_of
from .errors import ResultError
from .request import DIMENSIONS_MAX

#: The name of the output where the result is no mapping.
ONLY_OUTPUT = "output"

#: Whole numbers up to this are exact in FP64.
FP64_EXACT_MAX = 2**53

_INT64 = np.iinfo(np.int64)
_UINT64_MAX = np.iinfo(np.uint64).max


def tensors(result: Any) -> dict[str, NDArray[Any]]:
    """The outputs of a result by name. Raises ResultError for arrays that no datatype can hold."""
    named = result if isinstance(result, Mapping) else {ONLY_OUTPUT: result}
    return {name: _tensor(name, value) for name, value in named.items()}


def _tensor(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        if datatype_of(value.dtype) is None:
            raise ResultError(f"output {name!r} is an array of {value.dtype}, which is not a datatype of the protocol")
        return value
    found = _plain(value)
    return _text(codec.encode(value)) if found is None else found


def _plain(value: Any) -> NDArray[Any] | None:
    """The array of a value, or of nested lists of one kind; None for anything else."""
    if isinstance(value, bytes):
        return _text(value)
    shape = _shape(value)
    if shape is None or len(shape) > DIMENSIONS_MAX:
        return None
    items = _leaves(value, len(shape))
    dtype = _dtype(items)
    if dtype is None:
        return None
    array = np.empty(len(items), dtype)
    array[:] = items
    return array.reshape(shape or (1,))


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of nested lists that are equally long at each depth; None where they are not."""
    shape: list[int] = []
    level = [value]
    while level and all(isinstance(item, list) for item in level):
        sizes = {len(item) for item in level}
        if len(sizes) > 1:
            return None
        shape.append(sizes.pop())
        level = list(itertools.chain.from_iterable(level))
    return tuple(shape)


def _leaves(value: Any, depth: int) -> list[Any]:
    items = [value]
    for _ in range(depth):
        items = list(itertools.chain.from_iterable(items))
    return items


def _dtype(items: list[Any]) -> np.dtype[Any] | None:
    """The type that holds all of the items exactly; None where there is none."""
    kinds = {type(item) for item in items}
    if kinds <= {float}:
        return np.dtype(np.float64)
    if kinds == {bool}:
        return np.dtype(np.bool_)
    if kinds == {str}:
        return np.dtype(np.object_)
    if kinds == {int}:
        return _integers(min(items), max(items))
    if kinds == {int, float} and all(abs(item) <= FP64_EXACT_MAX for item in items if type(item) is int):
        return np.dtype(np.float64)
    return None


def _integers(low: int, high: int) -> np.dtype[Any] | None:
    if low >= _INT64.min and high <= _INT64.max:
        return np.dtype(np.int64)
    return np.dtype(np.uint64) if low >= 0 and high <= _UINT64_MAX else None


def _text(value: str | bytes) -> NDArray[Any]:
    array = np.empty(1, dtype=object)
    array[0] = value
    return array
