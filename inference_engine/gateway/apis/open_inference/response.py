"""The response to an inference request: JSON, followed by the outputs that are sent as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....tensors import datatype_of
from . import binary
from .errors import RequestError
from .request import InferRequest, RequestedOutput


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
