"""Results as JSON that every client reads: arrays become lists, bytes become text.

JSON has no NaN and no infinity (RFC 8259, section 6). Null would mean that there is no number, so they become the strings "NaN",
"Infinity" and "-Infinity", as in the JSON mapping of Protocol Buffers. Bytes become base64 (RFC 4648, section 4). The elements
of an array of strings are UTF-8 text; if one of them is not, the whole array becomes base64. A complex number becomes
[real, imaginary].
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from ...jobs import payloads
from . import threads

__all__ = ["JsonAnswer", "dumps", "json_answer", "listed"]

#: Deeper than json.dumps goes in any version of Python; bounds a value that contains itself.
DEPTH_MAX = 100_000


def dumps(value: Any) -> bytes:
    """JSON of a result, of a pydantic model (only the fields that were set, by alias), or of any combination of both.

    It is ASCII, because a JSON string may hold half of a surrogate pair, which UTF-8 cannot encode.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii")


def listed(array: Any) -> Any:
    """A numpy array as nested lists of JSON values; an array without dimensions as one value."""
    import numpy as np

    kind = array.dtype.kind
    if kind in "OUS":
        return _texts(array)
    if kind == "c":
        return listed(np.stack([array.real, array.imag], axis=-1))
    if kind == "f":
        return array.tolist() if np.isfinite(array).all() else _finite(array.tolist())
    return array.tolist()


class JsonAnswer(Response):
    """A response whose content is written by `dumps`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dumps(content)


async def json_answer(content: Any) -> JsonAnswer:
    """The response; a large one is written off the event loop."""
    parts = list(vars(content).values()) if isinstance(content, BaseModel) else content
    return await threads.run_if(payloads.exceeds(parts, threads.LARGE_BYTES), JsonAnswer, content)


def _plain(value: Any) -> Any:
    """The default function of json.dumps, for values that it does not know."""
    if isinstance(value, BaseModel):
        # Not model_dump: it walks through results of any depth and size, and rejects the deep ones.
        fields = type(value).model_fields.items()
        return {field.alias or name: getattr(value, name) for name, field in fields if name in value.model_fields_set}
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        import numpy as np

        return listed(np.asarray(value))
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _finite(value: Any) -> Any:
    """The value with strings instead of numbers that JSON does not have. Raises RecursionError beyond DEPTH_MAX.

    Works level by level, because json.dumps goes deeper than Python functions may recurse.
    """
    top = [value]
    level: list[Any] = [top]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for inner in level:
            for place, item in inner.items() if isinstance(inner, dict) else enumerate(inner):
                inner[place] = found = _finite_here(item)
                if isinstance(found, dict | list):
                    below.append(found)
        if not below:
            return top[0]
        level = below
    raise RecursionError("the value is nested too deeply")


def _finite_here(value: Any) -> Any:
    """As `_finite`, for one value; a dict or list is copied, its items unchanged."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _name(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    return value if value is None or isinstance(value, str | int) else _finite_here(_plain(value))


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _texts(array: Any) -> Any:
    try:
        return _each(array.tolist(), lambda item: item.decode() if isinstance(item, bytes) else item)
    except UnicodeDecodeError:
        return _each(array.tolist(), lambda item: _plain(item if isinstance(item, bytes) else item.encode()))


def _each(value: Any, change: Any) -> Any:
    return [_each(item, change) for item in value] if isinstance(value, list) else change(value)
