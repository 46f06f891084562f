"""Bodies and results as text: JSON, with numpy arrays and bytes inside it.

JSON values are encoded as JSON does it (tuples arrive as lists, keys as strings). A numpy array becomes
`{"$tensor": {"dtype", "shape", "data"}}` with base64 of its C-ordered little-endian bytes (an array of strings: with a list
of them), and `bytes` become `{"$bytes": …}`. A caller's own mapping that has such a key is wrapped in `{"$plain": …}`, so that
it arrives as it was sent. NaN and infinities are not JSON: they are refused as plain values and kept exactly inside arrays.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from ..errors import DecodeError, EncodeError

_MARKS = ("$tensor", "$bytes", "$plain")
#: Only a key or a string that begins like this can be a mark; most payloads have none of their own and skip the slow walk.
_MARK_HINT = '"$'
_NUMERIC_KINDS = frozenset("biufc")


def encode(value: Any) -> str:
    """`value` as ASCII JSON text. Raises EncodeError, naming the place and the remedy, where that is not possible."""
    marks = 0

    def encode_other(item: Any) -> Any:
        nonlocal marks
        found = _encode_other(item)
        # A numpy scalar may become a plain number, which has no mark.
        marks += isinstance(found, dict)
        return found

    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=encode_other)
        if text.count(_MARK_HINT) == marks:
            # All marks in the text were written here: the value has none of its own.
            return text
        return json.dumps(_walk(value, "body"), allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise _too_deep() from None
    except (EncodeError, TypeError, ValueError) as error:
        raise _refusal(value, error) from error


def decode(text: str) -> Any:
    """The value that `encode` wrote as `text`. Raises DecodeError where `encode` did not write it."""
    try:
        if _MARK_HINT not in text:
            return json.loads(text)
        return json.loads(text, object_pairs_hook=_Decoder())
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise DecodeError(f"payload of {len(text)} characters is not what the codec writes: {error}") from error


def _refusal(value: Any, error: Exception) -> EncodeError:
    """The error for a value that has no JSON form; the slow walk finds the place."""
    try:
        _walk(value, "body")
    except EncodeError as found:
        return found
    except RecursionError:
        return _too_deep()
    return error if isinstance(error, EncodeError) else EncodeError(f"body has no JSON form: {error}")


def _too_deep() -> EncodeError:
    return EncodeError("body is nested too deeply, or contains itself; flatten it")


def _encode_other(value: Any, path: str = "body") -> Any:
    """The `default` of json.dumps, which it calls for a value that it does not know."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return _encode_array(value, path)
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _encode_array(value: Any, path: str) -> Any:
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return {"$tensor": {"dtype": "str", "shape": list(array.shape), "data": _strings(array, path)}}
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise EncodeError(
            f"{path} is an array of dtype {array.dtype}, which cannot be sent; convert to a number, bool or string dtype"
        )
    if array.ndim == 0 and not isinstance(value, np.ndarray) and array.dtype.kind in "biuf":
        return _finite(array.item(), path)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"$tensor": {"dtype": little.dtype.str, "shape": list(array.shape), "data": data}}


def _strings(array: Any, path: str) -> list[str | dict[str, str]]:
    items: list[str | dict[str, str]] = []
    for item in array.reshape(-1).tolist():
        if isinstance(item, bytes):
            items.append(_encode_other(item, path))
        elif isinstance(item, str):
            items.append(item)
        else:
            raise EncodeError(
                f"{path} is an object array that holds a {type(item).__name__}; it may hold only str and bytes"
            )
    return items


def _finite(value: Any, path: str) -> Any:
    if isinstance(value, float) and value - value != 0:
        raise EncodeError(f"{path} is {value}, which has no JSON form; send None, or a numpy array, which can hold it")
    return value


def _walk(value: Any, path: str) -> Any:
    """The slow, exact way: escapes marks, and names the place of a value that cannot be encoded."""
    if value is None or isinstance(value, str | bool | int | float):
        return _finite(value, path)
    if isinstance(value, dict):
        return _walk_mapping(value, path)
    if isinstance(value, list | tuple):
        return [_walk(item, f"{path}[{index}]") for index, item in enumerate(value)]
    try:
        return _encode_other(value, path)
    except TypeError:
        kind = type(value).__name__
        raise EncodeError(
            f"{path} is a {kind}, which has no JSON form; send str, int, float, bool, None, list, dict, bytes or a numpy array"
        ) from None


def _walk_mapping(value: Mapping[Any, Any], path: str) -> Any:
    for key in value:
        if not (key is None or isinstance(key, str | int | float)):
            raise EncodeError(f"{path} has the key {key!r} of type {type(key).__name__}; JSON keys are strings")
    plain = {key: _walk(item, f"{path}[{key!r}]") for key, item in value.items()}
    return {"$plain": list(plain.items())} if any(mark in plain for mark in _MARKS) else plain


class _Decoder:
    """Decodes marks, innermost first."""

    def __call__(self, pairs: list[tuple[str, Any]]) -> Any:
        if len(pairs) != 1 or pairs[0][0] not in _MARKS:
            return dict(pairs)
        mark, value = pairs[0]
        if mark == "$plain":
            return {key: item for key, item in value}
        return base64.b64decode(value, validate=True) if mark == "$bytes" else _decode_array(value)


def _decode_array(value: dict[str, Any]) -> Any:
    try:
        import numpy as np
    except ImportError:
        raise DecodeError("the payload holds a numpy array; install numpy to read it") from None
    if value["dtype"] == "str":
        return np.array(value["data"], dtype=object).reshape(value["shape"])
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in _NUMERIC_KINDS:
        raise DecodeError(f"the payload holds an array of dtype {dtype}, which the codec never writes")
    data = base64.b64decode(value["data"], validate=True)
    return np.frombuffer(bytearray(data), dtype=dtype).reshape(value["shape"])
