"""How large a value is as text: looked at no more than that takes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from inference_engine.aws.objects import Blobs
from inference_engine.jobs import codec, payloads

LIMIT = 10_000


@pytest.mark.parametrize(
    ("value", "large"),
    [
        (None, False),
        (5, False),
        ("x" * LIMIT, False),
        ("x" * (LIMIT + 1), True),
        (b"x" * (LIMIT + 1), True),
        ([0.123456789] * 100, False),
        ([0.123456789] * LIMIT, True),
        ({"x": [[0.1] * 10] * 100}, True),
        ({"x": {"y": [{"z": "x" * 200}] * 60}}, True),
        ({"k" * 200 + str(n): None for n in range(60)}, True),
        ({"x": np.zeros(LIMIT // 2, np.int8)}, False),
        ({"x": np.zeros(LIMIT + 1, np.int8)}, True),
        ([np.zeros(LIMIT // 2)] * 3, True),
        (np.array(["x" * 2000] * 6, object), True),
        (np.array(["x"] * 6, object), False),
        (object(), False),
    ],
)
def test_what_is_large(value: Any, large: bool) -> None:
    assert payloads.exceeds(value, LIMIT) is large


def test_a_value_within_itself_has_an_end() -> None:
    value: list[Any] = []
    value.append(value)
    assert payloads.exceeds(value, LIMIT)


@pytest.mark.parametrize(
    ("body", "beside"), [({"x": [0.5] * 100}, False), ({"x": [[0.123456789] * 10] * 10_000}, True)]
)
async def test_large_bodies_of_lists_are_encoded_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, body: Any, beside: bool
) -> None:
    seen: list[bool] = []
    encode = codec.encode

    def watched(value: Any) -> str:
        seen.append(threading.current_thread() is not threading.main_thread())
        return encode(value)

    monkeypatch.setattr(codec, "encode", watched)
    text, reference = await payloads.pack(Blobs.__new__(Blobs), "body", body, 10_000_000)
    assert (codec.decode(text or ""), reference) == (body, None)
    assert seen == [beside]
