"""An inference request: its JSON, checked, and the arrays in it.

Strings arrive as `str` where all elements of a tensor are UTF-8, else as `bytes`, whichever way they were sent.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelInputError
from ....tensors import DTYPES, TensorSpec, check_inputs
from . import binary
from .binary import RequestError

#: The most dimensions of a tensor: numpy 1's limit.
DIMENSIONS_MAX = 32
#: The most elements of a tensor: as many as 64-bit indices reach in its widest type.
ELEMENTS_MAX = 2**59
#: Up to this many elements are passed on where the shape has fewer: numpy then finds and reports what is wrong.
TOLD_ELEMENTS_MAX = 1000
#: These need a server that keeps state between requests, or shares its memory with the caller.
SEQUENCE_PARAMETERS = ("sequence_id", "sequence_start", "sequence_end")
SHARED_MEMORY_PARAMETERS = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the caller requests, in JSON or as bytes."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request's content: `inputs` by name; `outputs` is None for all, then in JSON or, with `binary`, as bytes.

    `timeout_seconds` is the caller's own, None where the request names none.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: tuple[RequestedOutput, ...] | None = None
    id: str | None = None
    binary: bool = False
    timeout_seconds: float | None = None


def read(label: str, body: bytes, header_length: str | None = None) -> InferRequest:
    """The request in `body`; `header_length` is the value of Inference-Header-Content-Length. Raises RequestError."""
    size = len(body) if header_length is None else _header_length(header_length, len(body))
    request = _json_object(body[:size])
    parameters = _parameters("the request", request)
    _refuse(
        parameters,
        SEQUENCE_PARAMETERS,
        "the request",
        "any consumer may take a job, so none has a sequence's state",
    )
    as_bytes = _flag(parameters, "binary_data_output", "the request") or False
    return InferRequest(
        inputs=_inputs(label, request, _Tail(memoryview(body)[size:])),
        outputs=_outputs(request, as_bytes),
        id=_id(request),
        binary=as_bytes,
        timeout_seconds=_timeout_seconds(parameters),
    )


def read_index(body: bytes) -> bool:
    """Whether a request for the repository's index wants only models that are ready. Raises RequestError."""
    return bool(body.strip() and _flag(_json_object(body), "ready", "the request"))


class _Tail:
    """The bytes after the JSON, taken by the inputs in order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._taken = 0

    def take(self, name: str, size: int) -> memoryview:
        if size > self.left:
            raise RequestError(
                f"input {name!r}: its binary_data_size is {size}, but {self.left} bytes are left after the JSON; "
                "the header Inference-Header-Content-Length must give the length of the JSON"
            )
        self._taken += size
        return self._data[self._taken - size : self._taken]

    @property
    def left(self) -> int:
        return len(self._data) - self._taken


# --- the request -----------------------------------------------------------------------------------------------------------


def _header_length(text: str, size: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= size):
        raise RequestError(
            f"Inference-Header-Content-Length is {text[:40]!r}; it must be the length of the JSON, in a body of {size} bytes"
        )
    if int(text) == 0:
        raise RequestError("Inference-Header-Content-Length is 0: raw binary requests, without JSON, are not served")
    return int(text)


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        # NaN and Infinity are accepted though they are no JSON: NVIDIA's client writes them, and Triton reads them.
        found = json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise RequestError(
            f"the JSON is not UTF-8 ({error}); if binary data follows it, set Inference-Header-Content-Length to its length"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise RequestError(f'the request is {_kind(found)}, not a JSON object with "inputs"')
    return found


def _id(request: Mapping[str, Any]) -> str | None:
    found = request.get("id")
    if found is not None and not isinstance(found, str):
        raise RequestError(f'"id" is {_kind(found)}, not a string')
    return found


def _timeout_seconds(parameters: Mapping[str, Any]) -> float | None:
    microseconds = parameters.get("timeout")
    if microseconds is None or microseconds == 0:
        return None
    if isinstance(microseconds, bool) or not isinstance(microseconds, int) or not 0 < microseconds < 2**63:
        raise RequestError(f'the parameter "timeout" is {_told(microseconds)}, not a number of microseconds')
    return microseconds / 1e6


def _parameters(where: str, owner: Mapping[str, Any]) -> Mapping[str, Any]:
    found = owner.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(f'{where}: "parameters" is {_kind(found)}, not an object')
    return found


def _refuse(parameters: Mapping[str, Any], names: tuple[str, ...], where: str, reason: str) -> None:
    for name in names:
        if parameters.get(name):
            raise RequestError(f'{where}: the parameter "{name}" is not supported: {reason}')


def _flag(parameters: Mapping[str, Any], name: str, where: str) -> bool | None:
    found = parameters.get(name)
    if found is not None and not isinstance(found, bool):
        raise RequestError(f'{where}: "{name}" is {_told(found)}, not true or false')
    return found


def _objects(request: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects in a list of the request, each with its name. Raises RequestError where a name occurs twice."""
    found = request[key]
    if not isinstance(found, list):
        raise RequestError(f'"{key}" is {_kind(found)}, not a list')
    named: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(found):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not name:
            raise RequestError(f'"{key}"[{index}] is not an object with a "name" that is a string')
        if name in named:
            raise RequestError(f"{key.removesuffix('s')} {name!r} occurs twice")
        named[name] = one
    return list(named.items())


# --- outputs ---------------------------------------------------------------------------------------------------------------


def _outputs(request: Mapping[str, Any], binary_by_default: bool) -> tuple[RequestedOutput, ...] | None:
    if request.get("outputs") in (None, []):
        return None
    return tuple(_output(name, output, binary_by_default) for name, output in _objects(request, "outputs"))


def _output(name: str, output: Mapping[str, Any], binary_by_default: bool) -> RequestedOutput:
    where = f"output {name!r}"
    parameters = _parameters(where, output)
    _refuse(parameters, ("classification",), where, "request the whole output, and pick its largest elements yourself")
    _refuse(parameters, SHARED_MEMORY_PARAMETERS, where, _NO_SHARED_MEMORY)
    chosen = _flag(parameters, "binary_data", where)
    return RequestedOutput(name, binary_by_default if chosen is None else chosen)


_NO_SHARED_MEMORY = "models run on other machines than the gateway; send the tensors in the request"


# --- inputs ----------------------------------------------------------------------------------------------------------------


def _inputs(label: str, request: Mapping[str, Any], tail: _Tail) -> dict[str, NDArray[Any]]:
    if "inputs" not in request:
        raise RequestError('the request has no "inputs"')
    arrays = {name: _input(label, name, tensor, tail) for name, tensor in _objects(request, "inputs")}
    if tail.left:
        raise RequestError(
            f"{tail.left} bytes follow the binary data of the inputs {', '.join(map(repr, arrays)) or '(none)'}; "
            "each of them must give its size in the parameter binary_data_size"
        )
    return arrays


def _input(label: str, name: str, tensor: Mapping[str, Any], tail: _Tail) -> NDArray[Any]:
    where = f"input {name!r}"
    datatype, shape = _datatype(where, tensor), _shape(where, tensor)
    parameters = _parameters(where, tensor)
    _refuse(parameters, SHARED_MEMORY_PARAMETERS, where, _NO_SHARED_MEMORY)
    size, data = parameters.get("binary_data_size"), tensor.get("data")
    if size is None:
        return _from_json(label, TensorSpec(name, datatype, shape), data)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise RequestError(f'{where}: the parameter "binary_data_size" is {_told(size)}, not a number of bytes')
    if data is not None:
        raise RequestError(f'{where} has both "data" and binary data: leave one of them out')
    return binary.read(name, datatype, shape, tail.take(name, size))


def _datatype(where: str, tensor: Mapping[str, Any]) -> str:
    found = tensor.get("datatype")
    if found == "BF16":
        raise RequestError(f"{where}: BF16 is not supported, because numpy has no such type; send FP32 or FP16")
    if not isinstance(found, str) or found not in DTYPES:
        raise RequestError(f'{where}: its "datatype" is {_told(found)}, not one of {", ".join(DTYPES)}')
    return found


def _shape(where: str, tensor: Mapping[str, Any]) -> tuple[int, ...]:
    found = tensor.get("shape")
    if isinstance(found, list) and len(found) > DIMENSIONS_MAX:
        raise RequestError(f"{where}: its shape has {len(found)} dimensions; at most {DIMENSIONS_MAX} are possible")
    if not isinstance(found, list) or not all(type(size) is int and size >= 0 for size in found):
        raise RequestError(f'{where}: its "shape" is {_told(found)}, not a list of whole numbers of at least 0')
    # Dimensions of size 0 aside: numpy has no place for the rest of such a shape either.
    if math.prod(size for size in found if size) > ELEMENTS_MAX:
        raise RequestError(f"{where}: its shape {_told(found)} has more elements than a tensor can have")
    return tuple(found)


def _from_json(label: str, spec: TensorSpec, data: Any) -> NDArray[Any]:
    """The array of JSON values: nested as the shape says, or flat in C order."""
    where = f"input {spec.name!r}"
    if spec.datatype == "FP16":
        raise RequestError(f"{where}: FP16 has no JSON form; send it as binary data")
    if not isinstance(data, list):
        told = (
            'no "data" and no parameter "binary_data_size"'
            if data is None
            else f'"data" that is {_kind(data)}, not a list'
        )
        raise RequestError(f"{where} has {told}")
    _refuse_more(where, spec, data)
    elements = math.prod(spec.shape)
    if not elements and _is_empty(data):
        return np.empty(spec.shape, DTYPES[spec.datatype])
    flat = not (data and isinstance(data[0], list))
    if flat and len(data) != elements:
        raise RequestError(f"{where}: {spec} has {elements} elements, but its data has {len(data)}")
    checked = TensorSpec(spec.name, spec.datatype, (len(data),)) if flat else spec
    try:
        array = check_inputs(label, {spec.name: data}, [checked])[spec.name]
    except ModelInputError as error:
        raise RequestError(str(error)) from None
    return (binary.texts(list(array.flat)) if spec.datatype == "BYTES" else array).reshape(spec.shape)


def _refuse_more(where: str, spec: TensorSpec, data: list[Any]) -> None:
    """Reject lists that hold more, at any depth, than the shape has: numpy takes many times their memory to find out."""
    if data and not isinstance(data[0], list):
        return
    # A shape like [2, 0] has lists, though no elements.
    most = max(TOLD_ELEMENTS_MAX, math.prod(size or 1 for size in spec.shape))
    lists = [data]
    while lists:
        if sum(map(len, lists)) > most:
            raise RequestError(f"{where}: its data has more elements, or lists, than {spec}")
        lists = [item for one in lists for item in one if isinstance(item, list)]


def _is_empty(data: list[Any]) -> bool:
    """Whether nested lists hold no element; their last dimensions cannot be known then."""
    while data and all(isinstance(item, list) for item in data):
        data = list(itertools.chain.from_iterable(data))
    return not data


def _kind(value: Any) -> str:
    """A JSON value's type, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _told(value: Any) -> str:
    """A value as a message quotes it: its beginning."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
