"""Tensors there and back: requests as NVIDIA's client writes them, responses as it reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http._utils import _get_inference_request

from inference_engine.gateway.apis.open_inference import binary, request, response
from inference_engine.gateway.apis.open_inference import response as results
from inference_engine.gateway.apis.open_inference.binary import RequestError
from inference_engine.tensors import DTYPES, datatype_of
from tests.support.thorough import examples

NUMBERS = [name for name in DTYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def arrays(datatype: str, *, json_only: bool = False) -> st.SearchStrategy[NDArray[Any]]:
    """Arrays of a datatype; BYTES with strings, or with bytes that may be no UTF-8."""
    if datatype != "BYTES":
        finite = {"allow_nan": False, "allow_infinity": False} if json_only and datatype.startswith("FP") else {}
        return hnp.arrays(DTYPES[datatype], SHAPES, elements=finite or None)
    elements = texts if json_only else st.one_of(texts, st.binary(max_size=8))
    return hnp.arrays(np.dtype(object), SHAPES, elements=elements)


def sent(inputs: Mapping[str, NDArray[Any]], *, as_json: bool, **options: Any) -> tuple[bytes, str | None]:
    """The body that NVIDIA's client makes of arrays, and its Inference-Header-Content-Length."""
    tensors = []
    for name, array in inputs.items():
        datatype = datatype_of(array.dtype)
        tensors.append(
            InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=not as_json)
        )
    arguments = {"request_id": "", "outputs": None, "sequence_id": 0, "sequence_start": False, "sequence_end": False}
    arguments |= {"priority": 0, "timeout": None, "custom_parameters": None} | options
    body, size = _get_inference_request(tensors, **arguments)
    return body, None if size is None else str(size)


def read_back(answer: response.InferResponse) -> InferResult:
    """The response as NVIDIA's client reads it."""
    return InferResult.from_response_body(answer.body, header_length=answer.header_length)


def encoded(array: NDArray[Any]) -> list[bytes]:
    """The elements of a BYTES tensor as the wire has them."""
    return [item.encode() if isinstance(item, str) else item for item in array.flat]


def assert_same(found: NDArray[Any], wanted: NDArray[Any]) -> None:
    assert found.shape == wanted.shape
    assert found.dtype.newbyteorder("=") == wanted.dtype
    if wanted.dtype == object:
        assert encoded(found) == encoded(wanted)
    else:
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("datatype", DTYPES)
@settings(max_examples=examples(60))
@given(data=st.data())
def test_bytes_there_and_back(datatype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(datatype))
    asked = request.read("m", *sent({"X": array, "Y": array}, as_json=False))
    assert_same(asked.inputs["X"], array)
    assert_same(asked.inputs["Y"], array)
    assert asked.binary
    answer = response.write("m", "1", asked, asked.inputs)
    assert_same(read_back(answer).as_numpy("Y"), array)


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "FP16"])
@settings(max_examples=examples(60))
@given(data=st.data())
def test_json_there_and_back(datatype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(datatype, json_only=True))
    body, size = sent({"X": array}, as_json=True, outputs=[InferRequestedOutput("X", binary_data=False)])
    assert size is None
    asked = request.read("m", body)
    assert_same(asked.inputs["X"], array)
    answer = response.write("m", "1", asked, asked.inputs)
    assert answer.header_length is None
    found = read_back(answer).as_numpy("X")
    if datatype == "BYTES":
        assert encoded(found) == encoded(array)
    else:
        assert_same(found, array)


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "FP16"])
@settings(max_examples=examples(30))
@given(data=st.data())
def test_nested_data_is_what_flat_data_is(datatype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(datatype, json_only=True))
    tensor = {"name": "X", "datatype": datatype, "shape": list(array.shape)}
    flat, nested = (
        request.read("m", json.dumps({"inputs": [tensor | {"data": values}]}).encode())
        for values in (array.reshape(-1).tolist(), array.tolist() if array.ndim else [array.item()])
    )
    assert_same(nested.inputs["X"], flat.inputs["X"])


def test_strings_are_text_where_all_of_a_tensor_are_utf_8() -> None:
    plain, mixed = np.array(["é", b"b"], object), np.array(["é", b"\xff"], object)
    asked = request.read("m", *sent({"P": plain, "M": mixed}, as_json=False))
    assert asked.inputs["P"].tolist() == ["é", "b"]
    assert asked.inputs["M"].tolist() == ["é".encode(), b"\xff"]
    assert request.read("m", *sent({"P": plain}, as_json=True)).inputs["P"].tolist() == ["é", "b"]


def test_nan_and_infinity_are_read_as_the_client_writes_them() -> None:
    array = np.array([np.nan, np.inf, -np.inf], np.float32)
    body, _ = sent({"X": array}, as_json=True)
    assert b"NaN" in body
    np.testing.assert_array_equal(request.read("m", body).inputs["X"], array)


def test_big_endian_outputs_go_as_little_endian() -> None:
    assert binary.write(np.array([1], ">i4")) == b"\x01\0\0\0"
    assert datatype_of(np.dtype(">i4")) == "INT32"


def test_each_output_comes_as_it_was_asked_for() -> None:
    outputs = {"A": np.arange(3, dtype=np.int64), "B": np.array([True]), "C": np.array(["é"], object)}
    wanted = [InferRequestedOutput("C", binary_data=True), InferRequestedOutput("A", binary_data=False)]
    asked = request.read("m", *sent({}, as_json=True, outputs=wanted, request_id="me"))
    answer = response.write("m", "1", asked, outputs)
    found = read_back(answer)
    assert answer.header_length is not None
    assert json.loads(answer.body[: answer.header_length]) == {
        "id": "me",
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {"name": "C", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
            {"name": "A", "datatype": "INT64", "shape": [3], "data": [0, 1, 2]},
        ],
    }
    assert found.as_numpy("C").tolist() == ["é".encode()]
    assert found.as_numpy("A").tolist() == [0, 1, 2]
    assert found.as_numpy("B") is None


@pytest.mark.parametrize(
    ("parameters", "output", "binary_expected"),
    [
        ({}, {}, False),
        ({"binary_data_output": True}, {}, True),
        ({"binary_data_output": True}, {"binary_data": False}, False),
        ({"binary_data_output": False}, {"binary_data": True}, True),
    ],
)
def test_an_outputs_own_wish_goes_before_that_for_all(
    parameters: dict[str, Any], output: dict[str, Any], binary_expected: bool
) -> None:
    body = {"inputs": [], "parameters": parameters, "outputs": [{"name": "A", "parameters": output}]}
    asked = request.read("m", json.dumps(body).encode())
    assert asked.outputs == (request.RequestedOutput("A", binary_expected),)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([1.0, np.nan]), "'A' has NaN or infinities"),
        (np.array([np.inf], np.float32), "'A' has NaN or infinities"),
        (np.array([1], np.float16), "'A' is FP16"),
        (np.array([b"\xff"], object), "'A' has bytes that are not UTF-8"),
    ],
)
def test_what_json_cannot_say_is_to_be_asked_for_as_bytes(array: NDArray[Any], reason: str) -> None:
    as_json = request.read("m", b'{"inputs": []}')
    with pytest.raises(RequestError, match=f'output {reason}.*"binary_data_output": true'):
        response.write("m", "1", as_json, {"A": array})
    as_bytes = request.read("m", b'{"inputs": [], "parameters": {"binary_data_output": true}}')
    assert_same(read_back(response.write("m", "1", as_bytes, {"A": array})).as_numpy("A"), array)


def test_an_output_that_is_not_there_is_told_with_those_that_are() -> None:
    asked = request.read("m", b'{"inputs": [], "outputs": [{"name": "Z"}]}')
    with pytest.raises(RequestError, match="model 'm' has no output 'Z'; its outputs are: 'A', 'B'"):
        response.write("m", "1", asked, {"A": np.zeros(1), "B": np.zeros(1)})


def test_half_a_surrogate_pair_in_a_result_does_not_break_the_response() -> None:
    outputs = results.tensors({"A": "\ud800"})
    as_json = response.write("m", "1", request.read("m", b'{"inputs": []}'), outputs)
    assert json.loads(as_json.body)["outputs"][0]["data"] == ["\ud800"]
    assert binary.write(outputs["A"]) == b"\x03\0\0\0\xed\xa0\x80"
