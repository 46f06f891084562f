"""The codec: everything arrives as it was sent, and what cannot travel is refused by its place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference_engine.errors import DecodeError, EncodeError
from inference_engine.jobs import codec

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
KEYS = TEXT | st.sampled_from(["$tensor", "$bytes", "$plain", "$", "dtype", 'a"$'])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT | KEYS
VALUES = st.recursive(
    SCALARS | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
DTYPES = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | arrays.complex_number_dtypes(endianness="?", sizes=(64, 128))
)
ARRAYS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@given(VALUES)
def test_values_arrive_as_they_were_sent(value: Any) -> None:
    text = codec.encode(value)
    assert text.isascii()
    assert codec.decode(text) == value


@given(ARRAYS)
def test_arrays_arrive_bit_for_bit(array: Any) -> None:
    arrived = codec.decode(codec.encode({"x": [array]}))["x"][0]
    assert arrived.shape == array.shape
    assert arrived.dtype == array.dtype.newbyteorder("<")
    assert arrived.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert arrived.flags.writeable


@given(arrays.arrays(object, arrays.array_shapes(min_dims=0, min_side=0, max_side=3), elements=TEXT, fill=st.nothing()))
def test_string_arrays_arrive(array: Any) -> None:
    arrived = codec.decode(codec.encode(array))
    assert arrived.shape == array.shape
    assert arrived.tolist() == array.tolist()


def test_views_and_scalars_of_numpy() -> None:
    array = np.arange(12).reshape(3, 4)[::2, ::-1].T
    np.testing.assert_array_equal(codec.decode(codec.encode(array)), array)
    assert codec.decode(codec.encode([np.float32(0.5), np.int8(3), np.bool_(True), np.str_("x")])) == [
        0.5,
        3,
        True,
        "x",
    ]
    assert codec.decode(codec.encode([(1, 2), bytearray(b"x"), memoryview(b"y")])) == [[1, 2], b"x", b"y"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {"b": float("nan")}]}, "body['a'][1]['b']"),
        ([0, float("-inf")], "body[1]"),
        ({"a": [np.float32("nan")]}, "body['a'][0]"),
        ({"a": {1, 2}}, "body['a'] is a set"),
        ({"a": object()}, "body['a'] is a object"),
        ({"a": {(1, 2): 3}}, "body['a'] has the key (1, 2)"),
        ({"a": np.array(["2020-01-01"], "datetime64[D]")}, "body['a']"),
        ([np.array([1, None], object)], "body[0]"),
        ({"$plain": [{1}]}, "body['$plain'][0]"),
    ],
)
def test_refusal_names_the_place(value: Any, place: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.encode(value)
    assert place in str(caught.value)


def test_what_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, {"$plain": loop}):
        with pytest.raises(EncodeError, match="contains itself"):
            codec.encode(value)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="nested too deeply"):
        codec.encode(deep)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"$plain": 5}',
        '{"$plain": [[1]]}',
        '{"$bytes": "no base64!"}',
        '{"$bytes": 5}',
        '{"$tensor": 5}',
        '{"$tensor": {}}',
        '{"$tensor": {"dtype": "O", "shape": [1], "data": ""}}',
        '{"$tensor": {"dtype": "nonsense", "shape": [1], "data": ""}}',
        '{"$tensor": {"dtype": "<f4", "shape": [3], "data": "AAAA"}}',
        '{"$tensor": {"dtype": "<f4", "shape": [1e400], "data": ""}}',
        '{"$tensor": {"dtype": "<f4", "shape": [' + "9" * 40 + '], "data": "AAAAAA=="}}',
        '{"$tensor": {"dtype": "str", "shape": [2], "data": ["x"]}}',
    ],
)
def test_what_the_codec_never_writes_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        codec.decode(text)


def test_plain_values_are_plain_json() -> None:
    value = {"text": "hello", "n": [1, 2.5, None, True]}
    assert json.loads(codec.encode(value)) == value


def test_an_array_of_strings_and_bytes_arrives_with_both() -> None:
    sent = np.array([["ü", b"\xff"], [b"", ""]], dtype=object)
    back = codec.decode(codec.encode({"raw": sent}))["raw"]
    assert back.tolist() == sent.tolist()
    assert back.shape == (2, 2)


@pytest.mark.parametrize(
    "value",
    [
        {"$tensor": 1, "x": np.float32(1)},
        {"x": np.arange(3), "y": "$tensor"},
        {"x": b"bytes", "$bytes": "mine"},
        {"x": np.array([b"$bytes", b"y"], dtype=object)},
        [np.arange(2), {"$plain": np.arange(2)}],
    ],
)
def test_marks_of_the_callers_own_beside_ours(value: object) -> None:
    np.testing.assert_equal(codec.decode(codec.encode(value)), value)
