"""The response to an inference request: JSON, followed by the outputs that are sent as bytes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....jobs import codec
from ....tensors import datatype_of
from . import binary
from .binary import RequestError, ResultError
from .request import DIMENSIONS_MAX, InferRequest, RequestedOutput

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


@dataclass(frozen=True, slots=True)
class InferResponse:
    """A body, and the length of the JSON at its beginning; None where the JSON is all of it."""

    body: bytes
    header_length: int | None


def write(label: str, version: str, request: InferRequest, outputs: Mapping[str, NDArray[Any]]) -> InferResponse:
    """The response to `request`. Raises RequestError for an output that does not exist, or cannot be sent as JSON."""
    wanted = request.outputs
    if wanted is None:
        wanted = tuple(RequestedOutput(name, request.binary) for name in outputs)
    header: dict[str, Any] = {"model_name": label, "model_version": version, "outputs": []}
    if request.id is not None:
        header = {"id": request.id} | header
    tails: list[bytes] = []
    for one in wanted:
        if one.name not in outputs:
            there = ", ".join(map(repr, outputs)) or "none"
            raise RequestError(f"model {label!r} has no output {one.name!r}; its outputs are: {there}")
        header["outputs"].append(_output(one, outputs[one.name], tails))
    # ASCII: a string may hold half of a surrogate pair, which UTF-8 cannot encode.
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")
    binary_asked = any(one.binary for one in wanted)
    return InferResponse(b"".join((text, *tails)), len(text) if binary_asked else None)


def _output(wanted: RequestedOutput, array: NDArray[Any], tails: list[bytes]) -> dict[str, Any]:
    described = {"name": wanted.name, "datatype": datatype_of(array.dtype), "shape": list(array.shape)}
    if not wanted.binary:
        return described | {"data": _json_data(wanted.name, array)}
    tails.append(binary.write(array))
    return described | {"parameters": {"binary_data_size": len(tails[-1])}}


def _json_data(name: str, array: NDArray[Any]) -> list[Any]:
    """The elements of an output as JSON values, in C order."""
    if array.dtype == np.float16:
        raise RequestError(f"output {name!r} is FP16, which has no JSON form; {_AS_BYTES}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(f"output {name!r} has NaN or infinities, which JSON cannot represent; {_AS_BYTES}")
    if array.dtype != object:
        found: list[Any] = array.reshape(-1).tolist()
        return found
    try:
        return [item.decode() if isinstance(item, bytes) else item for item in array.flat]
    except UnicodeDecodeError:
        raise RequestError(
            f"output {name!r} has bytes that are not UTF-8, which JSON cannot carry; {_AS_BYTES}"
        ) from None


_AS_BYTES = (
    'request it as bytes, with the parameter "binary_data": true of the output, '
    'or "binary_data_output": true of the request'
)
