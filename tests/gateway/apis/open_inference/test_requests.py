"""Requests that are not what the protocol says, and bodies that are compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.errors import PayloadTooLargeError
from inference_engine.gateway.apis.open_inference import request
from inference_engine.gateway.apis.open_inference.binary import RequestError
from inference_engine.gateway.http import encodings

X: dict[str, Any] = {"name": "X", "shape": [2], "datatype": "INT32", "data": [1, 2]}
BINARY: dict[str, Any] = {"name": "X", "shape": [2], "datatype": "INT32", "parameters": {"binary_data_size": 8}}


def binary_body(tail: bytes, *tensors: dict[str, Any]) -> tuple[bytes, str]:
    head = json.dumps({"inputs": tensors}).encode()
    return head + tail, str(len(head))


# --- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"1" * 5000, "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "a list, not a JSON object"),
        (b"null", "null, not a JSON object"),
        (b"{}", 'no "inputs"'),
        (b'{"inputs": {}}', '"inputs" is an object, not a list'),
        (b'{"inputs": [1]}', r'"inputs"\[0\] is not an object with a "name"'),
        (b'{"inputs": [{"name": ""}]}', r'"inputs"\[0\] is not'),
        (b'{"inputs": [], "outputs": "A"}', '"outputs" is a string, not a list'),
        (b'{"inputs": [], "outputs": [{"name": "A"}, {"name": "A"}]}', "output 'A' occurs twice"),
        (b'{"inputs": [], "id": 7}', '"id" is a number, not a string'),
        (b'{"inputs": [], "parameters": []}', '"parameters" is a list, not an object'),
        (b'{"inputs": [], "parameters": {"timeout": "1"}}', "not a number of microseconds"),
        (b'{"inputs": [], "parameters": {"timeout": -1}}', "not a number of microseconds"),
        (b'{"inputs": [], "parameters": {"timeout": true}}', "not a number of microseconds"),
        (b'{"inputs": [], "parameters": {"timeout": NaN}}', "not a number of microseconds"),
        (b'{"inputs": [], "parameters": {"binary_data_output": 1}}', "not true or false"),
        (b'{"inputs": [], "parameters": {"sequence_id": 5}}', '"sequence_id" is not supported'),
        (b'{"inputs": [], "outputs": [{"name": "A", "parameters": {"classification": 3}}]}', "'A'.*classification"),
        (b'{"inputs": [], "outputs": [{"name": "A", "parameters": {"shared_memory_region": "r"}}]}', "'A'.*shared"),
        (b'{"inputs": [], "outputs": [{"name": "A", "parameters": {"binary_data": "yes"}}]}', "'A'.*true or false"),
    ],
)
def test_a_request_that_is_none_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        request.read("m", body)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"datatype": "BF16"}, "BF16 is not supported"),
        ({"datatype": "BYTES", "shape": [1], "data": json.loads("[" * 40 + '"a"' + "]" * 40)}, "shape"),
        ({"shape": ["1"] * 100_000}, "100000 dimensions"),
        ({"datatype": "INT31"}, "'INT31', not one of BOOL"),
        ({"datatype": None}, "missing, not one of"),
        ({"datatype": ["INT32"]}, "not one of"),
        ({"datatype": "FP16"}, "FP16 has no JSON form"),
        ({"shape": None}, '"shape" is missing'),
        ({"shape": 2}, '"shape" is 2'),
        ({"shape": [-1, 2]}, r'"shape" is \[-1, 2\]'),
        ({"shape": [True, 2]}, '"shape" is'),
        ({"shape": [2.0]}, '"shape" is'),
        ({"shape": [2**62, 2**62]}, "more elements than a tensor can have"),
        ({"shape": [0, 2**62]}, "more elements than a tensor can have"),
        ({"shape": [2**32, 2**32]}, "more elements than a tensor can have"),
        ({"shape": [1] * 33}, "33 dimensions"),
        ({"shape": [2**50]}, f"has {2**50} elements, but its data has 2"),
        ({"shape": [3]}, r"INT32 \[3\] has 3 elements, but its data has 2"),
        ({"data": None}, 'no "data" and no parameter'),
        ({"data": 5}, '"data" that is a number'),
        ({"data": [1.5, 2]}, "got a list of floats; send integers"),
        ({"data": ["1", "2"]}, "strings; send integers"),
        ({"data": [1, None]}, "mixed types"),
        ({"data": [1, 2**40]}, "the integer 1099511627776"),
        ({"data": [[1], [2, 3]]}, "ragged"),
        ({"data": [[1, 2]]}, r"got shape \[1, 2\]"),
        ({"data": [1, [2]]}, "ragged"),
        ({"data": json.loads("[" * 500 + "]" * 500)}, "got"),
        ({"shape": [0, 2], "data": [[1]]}, "got shape"),
        ({"datatype": "BOOL", "data": [0, 1]}, "send booleans"),
        ({"datatype": "BYTES", "data": ["a", 1]}, "send strings"),
        ({"datatype": "BYTES", "data": ["a", "\ud800"]}, "not valid Unicode"),
        ({"datatype": "FP32", "data": [1e300, 0]}, "the number 1e"),
        ({"parameters": {"shared_memory_region": "r"}}, '"shared_memory_region" is not supported'),
        ({"parameters": {"binary_data_size": 8}}, 'both "data" and binary data'),
        ({"parameters": {"binary_data_size": "8"}}, "'8', not a number of bytes"),
        ({"parameters": {"binary_data_size": -8}}, "-8, not a number of bytes"),
        ({"parameters": 3}, '"parameters" is a number'),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RequestError, match=f"input 'X'.*{reason}"):
        request.read("m", json.dumps({"inputs": [X | changes]}).encode())


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([1, 3], [[]] * 3000),
        ([2, 2], [[1] * 3000, [1, 2]]),
        ([2], [[[1]] * 3000, 1]),
        ([0], [[]] * 3000),
        ([1, 1500], [[1] * 1500, [1] * 1500]),
    ],
)
def test_lists_with_more_in_them_than_the_shape_never_reach_numpy(
    monkeypatch: pytest.MonkeyPatch, shape: list[int], data: list[Any]
) -> None:
    monkeypatch.setattr(request, "check_inputs", None)
    body = json.dumps({"inputs": [X | {"shape": shape, "data": data}]}).encode()
    with pytest.raises(RequestError, match="'X': its data has more elements, or lists, than INT32"):
        request.read("m", body)


def test_lists_as_many_as_the_shape_has_are_read() -> None:
    for shape, data in (([2000, 2], [[1, 2]] * 2000), ([2000, 0], [[]] * 2000), ([2, 3000], [[1] * 3000] * 2)):
        asked = request.read("m", json.dumps({"inputs": [X | {"shape": shape, "data": data}]}).encode())
        assert asked.inputs["X"].shape == tuple(shape)


def test_an_input_that_is_there_twice_is_refused() -> None:
    with pytest.raises(RequestError, match="input 'X' occurs twice"):
        request.read("m", json.dumps({"inputs": [X, X]}).encode())


@pytest.mark.parametrize(
    ("tensor", "tail", "reason"),
    [
        (BINARY, bytes(7), "binary_data_size is 8, but 7 bytes are left"),
        (BINARY, bytes(9), "1 bytes follow the binary data of the inputs 'X'"),
        (BINARY | {"shape": [3]}, bytes(8), r"INT32 \[3\] takes 12 bytes, but its binary data has 8"),
        (BINARY | {"shape": [2**40]}, bytes(8), "takes 4398046511104 bytes"),
        (BINARY | {"datatype": "BOOL", "shape": [8]}, b"\0\1\0\1\0\1\0\2", "neither 0 nor 1"),
        (BINARY | {"datatype": "BF16", "shape": [4]}, bytes(8), "BF16 is not supported"),
        (BINARY | {"datatype": "BYTES"}, b"\x01\0\0\0aa\0\0", "ends within element 1 of 2"),
        (BINARY | {"datatype": "BYTES"}, b"\xff\xff\xff\xffabcd", "ends within element 0 of 2"),
        (BINARY | {"datatype": "BYTES", "shape": [1]}, b"\x01\0\0\0aabc", "3 bytes follow its 1 elements"),
        (BINARY | {"datatype": "BYTES", "shape": [2**50]}, bytes(8), "elements take"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused_by_name(tensor: dict[str, Any], tail: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=f"'X'.*{reason}|{reason}"):
        request.read("m", *binary_body(tail, tensor))


@pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "²", "999999", "9" * 5000])
def test_a_header_length_that_cannot_be_is_refused(length: str) -> None:
    with pytest.raises(RequestError, match="it must be the length of the JSON, in a body of"):
        request.read("m", b'{"inputs": []}', length)


def test_a_raw_request_without_json_is_refused() -> None:
    with pytest.raises(RequestError, match="raw binary requests, without JSON, are not served"):
        request.read("m", b"abc", "0")


def test_the_json_must_end_where_the_header_says() -> None:
    body, size = binary_body(bytes(8), BINARY)
    with pytest.raises(RequestError, match="not valid JSON"):
        request.read("m", body, str(int(size) - 1))
    with pytest.raises(RequestError, match="not valid JSON: Extra data"):
        request.read("m", body)


# --- what is taken ---------------------------------------------------------------------------------------------------------


def test_what_is_not_known_is_passed_over() -> None:
    body = {
        "inputs": [X | {"parameters": {"content_type": "np"}}],
        "parameters": {"priority": 1, "mine": [2]},
        "new": 1,
    }
    asked = request.read("m", json.dumps(body).encode())
    assert asked.inputs["X"].tolist() == [1, 2]
    assert asked.outputs is None
    assert asked.timeout_seconds is None


def test_a_timeout_is_microseconds() -> None:
    assert request.read("m", b'{"inputs": [], "parameters": {"timeout": 2500000}}').timeout_seconds == 2.5
    assert request.read("m", b'{"inputs": [], "parameters": {"timeout": 0}}').timeout_seconds is None


def test_an_empty_tensor_may_say_that_it_has_no_bytes() -> None:
    tensor = {"name": "X", "shape": [0, 3], "datatype": "FP32", "data": None, "parameters": {"binary_data_size": 0}}
    assert request.read("m", json.dumps({"inputs": [tensor]}).encode()).inputs["X"].shape == (0, 3)


@pytest.mark.parametrize(
    ("body", "ready"),
    [(b"", False), (b" ", False), (b"{}", False), (b'{"ready": true}', True), (b'{"ready": null}', False)],
)
def test_the_index_is_asked_for_with_or_without_a_body(body: bytes, ready: bool) -> None:
    assert request.read_index(body) is ready


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b"\xff"])
def test_a_request_for_the_index_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        request.read_index(body)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]), inner
        )
    ),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {"name": st.just("X") | anything, "datatype": st.sampled_from(["FP32", "INT8", "BOOL", "BYTES"]) | anything},
    optional={
        "shape": st.lists(st.integers(-2, 5), max_size=3) | anything,
        "data": st.lists(anything, max_size=4) | anything,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}) | anything,
    },
)


@given(
    body=st.fixed_dictionaries(
        {"inputs": st.lists(tensors, max_size=2)}, optional={"outputs": anything, "id": anything}
    ),
    tail=st.binary(max_size=12),
)
def test_whatever_comes_is_read_or_refused(body: dict[str, Any], tail: bytes) -> None:
    head = json.dumps(body).encode()
    try:
        asked = request.read("m", head + tail, str(len(head)))
    except RequestError:
        return
    assert list(asked.inputs) == [tensor["name"] for tensor in body["inputs"]]


# --- compression -----------------------------------------------------------------------------------------------------------


@given(body=st.binary(max_size=200))
def test_compressed_bodies_are_unpacked(body: bytes) -> None:
    for coding in ("gzip", "deflate"):
        assert encodings.decompress(encodings.compress(body, coding), coding.upper(), 200) == body
    twice = gzip.compress(zlib.compress(body))
    assert encodings.decompress(twice, "deflate, gzip", 300) == body
    assert encodings.decompress(body, "identity", 200) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked(coding: str) -> None:
    bomb = encodings.compress(bytes(50_000_000), coding)
    assert len(bomb) < 300_000
    with pytest.raises(PayloadTooLargeError, match="more than 1000000 bytes"):
        encodings.decompress(bomb, coding, 1_000_000)
    assert len(encodings.decompress(bomb, coding, 50_000_000)) == 50_000_000


@pytest.mark.parametrize(
    ("body", "coding", "reason"),
    [
        (b"plain", "gzip", "is not gzip"),
        (b"plain", "deflate", "is not deflate"),
        pytest.param(gzip.compress(b"x" * 99)[:-4], "gzip", "cut off", id="half"),
        pytest.param(gzip.compress(b"x") + b"more", "gzip", "other bytes follow", id="more"),
        (b"", "gzip", "cut off"),
        (b"x", "br", "'br' is not supported"),
        (b"x", "gzip, zstd", "'zstd' is not supported"),
    ],
)
def test_a_body_that_is_not_so_compressed_is_refused(body: bytes, coding: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        encodings.decompress(body, coding, 1000)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.1, deflate;q=0.9", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=x", None),
    ],
)
def test_the_coding_of_a_response_is_one_that_the_caller_takes(accept: str, coding: str | None) -> None:
    assert encodings.chosen(accept) == coding
