"""Compressed bodies: gzip and deflate (RFC 9110, section 8.4.1: deflate is zlib's format)."""

from __future__ import annotations

import gzip
import zlib

from ...errors import PayloadTooLargeError
from ..apis.open_inference.binary import RequestError

#: zlib's window bits for each coding.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
#: No client compresses a compressed body; each further coding would unpack up to as many bytes as are allowed once more.
CODINGS_MAX = 2
#: A smaller body gains nothing by compression.
COMPRESSED_MIN_BYTES = 1024
#: Of 1 to 9: higher levels make tensors hardly smaller, and are much slower.
_LEVEL = 1


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body without its Content-Encoding `encoding`; hardly more than `max_bytes` is ever unpacked.

    Raises RequestError where the encoding is not served or the data is not in it, PayloadTooLargeError beyond `max_bytes`.
    """
    codings = [name.strip().lower() for name in encoding.split(",")]
    if len(codings) > CODINGS_MAX:
        raise RequestError(f"Content-Encoding names {len(codings)} codings; at most {CODINGS_MAX} are supported")
    for coding in reversed(codings):
        if coding not in ("", "identity"):
            body = _unpacked(body, coding, max_bytes)
    return body


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding not in _WINDOWS:
        raise RequestError(
            f"Content-Encoding {coding[:40]!r} is not supported; send gzip, deflate, or no Content-Encoding"
        )
    machine = zlib.decompressobj(_WINDOWS[coding])
    try:
        found = machine.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not {coding}, although its Content-Encoding says so: {error}") from None
    if len(found) > max_bytes:
        raise PayloadTooLargeError(f"the body unpacks to more than {max_bytes} bytes; send less in one request")
    if not machine.eof or machine.unused_data:
        raise RequestError(f"the {coding} data of the body is cut off, or other bytes follow it")
    return found


def chosen(accept: str) -> str | None:
    """The coding for a response by the request's Accept-Encoding: gzip, deflate, or None for neither."""
    weights = dict(_weighted(one) for one in accept.split(","))
    anything = weights.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda coding: weights.get(coding, anything))
    return best if weights.get(best, anything) > 0 else None


def compress(body: bytes, coding: str) -> bytes:
    """The body in a coding that `chosen` returned."""
    return gzip.compress(body, _LEVEL, mtime=0) if coding == "gzip" else zlib.compress(body, _LEVEL)


def _weighted(item: str) -> tuple[str, float]:
    name, _, parameter = item.partition(";")
    key, _, weight = parameter.strip().partition("=")
    try:
        return name.strip().lower(), float(weight) if key.strip() == "q" else 1.0
    except ValueError:
        return name.strip().lower(), 0.0
