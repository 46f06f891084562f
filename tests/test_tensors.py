"""Rules on tensors: what fits is converted without loss of meaning, what does not is refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import np_to_triton_dtype

from inference_engine.errors import ModelInputError, UnretryableError
from inference_engine.tensors import (
    DATATYPES,
    DTYPES,
    Datatype,
    TensorSpec,
    check_inputs,
    datatype_of,
    nbytes,
    unsupported,
)

NUMERIC = sorted(set(DTYPES) - {"BYTES"})


def check(value: Any, datatype: str = "FP32", shape: tuple[int, ...] = (-1, 2)) -> Any:
    return check_inputs("resnet50", {"x": value}, [TensorSpec("x", datatype, shape)])["x"]


def same(one: Any, other: Any) -> None:
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


# --- what fits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "expected"),
    [
        ([[1, 2]], "FP32", (-1, 2), np.array([[1, 2]], np.float32)),
        ([[0.1, 2]], "FP16", (1, 2), np.array([[0.1, 2]], np.float16)),
        (((1, 2), (3, 4)), "INT8", (2, 2), np.array([[1, 2], [3, 4]], np.int8)),
        ([1, 2**64 - 1], "UINT64", (-1,), np.array([1, 2**64 - 1], np.uint64)),
        ([2**64, 1.5], "FP64", (-1,), np.array([2.0**64, 1.5])),
        ([True, False], "BOOL", (2,), np.array([True, False])),
        ([], "INT64", (-1,), np.array([], np.int64)),
        ([math.nan, math.inf, -math.inf], "FP32", (-1,), np.array([math.nan, math.inf, -math.inf], np.float32)),
        (["a", "\u00e9\0"], "BYTES", (-1,), np.array([b"a", b"\xc3\xa9\0"], object)),
        ([[b"\xff"]], "BYTES", (-1, 1), np.array([[b"\xff"]], object)),
        (np.array(["ab", "c"]), "BYTES", (-1,), np.array([b"ab", b"c"], object)),
        (np.array([[1, 2]], np.float16), "FP32", (-1, 2), np.array([[1, 2]], np.float32)),
        (np.array([1, 2], ">i2"), "INT32", (2,), np.array([1, 2], np.int32)),
        (np.float32(3), "FP32", (), np.array(3, np.float32)),
    ],
)
def test_fitting_values_are_converted(value: Any, datatype: str, shape: tuple[int, ...], expected: Any) -> None:
    same(check(value, datatype, shape), expected)


@pytest.mark.parametrize("shape", [(), (1,), (-1,), (-1, 1)])
@pytest.mark.parametrize(("value", "datatype"), [(7, "INT32"), (7.5, "FP64"), (True, "BOOL"), ("text", "BYTES")])
def test_a_lone_value_is_a_tensor_of_one_element(value: Any, datatype: str, shape: tuple[int, ...]) -> None:
    tensor = check(value, datatype, shape)
    assert tensor.shape == (1,) * len(shape)
    assert tensor.dtype == DTYPES[datatype]
    assert tensor.item() == (value.encode() if isinstance(value, str) else value)


@pytest.mark.parametrize("body", [[[1, 2]], np.array([[1, 2]], np.float32), {"x": [[1, 2]]}])
def test_a_model_with_one_input_takes_it_bare(body: Any) -> None:
    same(check_inputs("m", body, [TensorSpec("x", "FP32", (-1, 2))])["x"], np.array([[1, 2]], np.float32))


def test_an_optional_input_may_be_left_out_but_is_checked_when_there() -> None:
    specs = [TensorSpec("x", "INT32", (1,)), TensorSpec("k", "INT32", (1,), optional=True)]
    assert list(check_inputs("m", {"x": [1]}, specs)) == ["x"]
    assert list(check_inputs("m", {"k": [2], "x": [1]}, specs)) == ["x", "k"]
    with pytest.raises(ModelInputError, match="input 'k'"):
        check_inputs("m", {"x": [1], "k": ["2"]}, specs)


def test_a_model_without_inputs_takes_an_empty_dict() -> None:
    assert check_inputs("m", {}, []) == {}


def nested(value: Any, depth: int) -> Any:
    """A value in so many lists of one."""
    for _ in range(depth):
        value = [value]
    return value


# --- what does not -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "given", "remedy"),
    [
        ([1, 2], "FP32", (-1, 2), "shape [2]", "one more list"),
        ([[[1, 2]]], "FP32", (-1, 2), "shape [1, 1, 2]", "send 2 dimensions, not 3"),
        ([[1, 2, 3]], "FP32", (-1, 2), "shape [1, 3]", "dimension 1 of size 2, not 3"),
        ([[1, 2], [3]], "FP32", (-1, 2), "a ragged list", "equally long"),
        ([["a"], ["b", "c"]], "BYTES", (-1, -1), "a ragged list", "equally long"),
        ([[1, "2"]], "FP32", (-1, 2), "strings", "send floats"),
        ([[1, None]], "FP32", (-1, 2), "NoneType", "send floats"),
        ([[1, 1e39]], "FP32", (-1, 2), "the number 1e+39", "3.40282e+38"),
        ([[1, 10**400]], "FP64", (-1, 2), "an integer too large for a float", "smaller"),
        ([[True, False]], "FP32", (-1, 2), "booleans", "send floats"),
        ([1.0], "INT32", (1,), "floats", "send integers"),
        ([True], "INT32", (1,), "booleans", "send integers"),
        ([None], "INT32", (1,), "mixed types", "send integers"),
        ([200], "INT8", (1,), "the integer 200", "from -128 to 127"),
        ([-1], "UINT64", (1,), "the integer -1", "from 0 to"),
        ([2**64], "UINT64", (1,), "the integer 18446744073709551616", "from 0 to"),
        ([0, 1], "BOOL", (2,), "integers", "send booleans"),
        ([1], "BYTES", (1,), "type int", "strings or bytes"),
        (["\ud800"], "BYTES", (1,), "not valid Unicode", "surrogates"),
        (None, "FP32", (1,), "NoneType", "nested lists"),
        ({"a": 1}, "FP32", (1,), "dict", "nested lists"),
        ([{"a": 1}], "FP32", (1,), "dict", "send floats"),
        ([1j], "FP32", (1,), "complex", "send floats"),
        (np.zeros((1, 2)), "FP32", (-1, 2), "float64", "astype(numpy.float32)"),
        (np.zeros((1, 2), np.int32), "FP32", (-1, 2), "int32", "astype(numpy.float32)"),
        (np.zeros(1, np.int64), "INT32", (1,), "int64", "astype(numpy.int32)"),
        (np.zeros(1), "BYTES", (1,), "float64", "strings or bytes"),
        ([1], "BF16", (1,), "cannot be sent", "FP32 or FP16"),
        *(
            # More dimensions than numpy can iterate over, and than it has.
            (nested(element, depth), datatype, (1,), "", "; ")
            for depth in (40, 100)
            for element, datatype in (("a", "BYTES"), (1, "INT32"), (2**64, "UINT64"), (0.5, "FP32"), (10**400, "FP64"))
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(
    value: Any, datatype: str, shape: tuple[int, ...], given: str, remedy: str
) -> None:
    with pytest.raises(ModelInputError) as refused:
        check(value, datatype, shape)
    message = str(refused.value)
    assert "'resnet50'" in message
    assert "'x'" in message
    assert f"expected {datatype} {list(shape)}" in message
    assert given in message
    assert remedy in message


def test_unknown_and_missing_names_are_refused() -> None:
    specs = [TensorSpec("ids", "INT64", (-1,)), TensorSpec("mask", "INT64", (-1,))]
    with pytest.raises(ModelInputError, match=r"no input 'idz': its inputs are 'ids' \(INT64 \[-1\]\), 'mask'"):
        check_inputs("m", {"idz": [1], "mask": [1]}, specs)
    with pytest.raises(ModelInputError, match=r"input 'mask': expected .* got nothing; add 'mask'"):
        check_inputs("m", {"ids": [1]}, specs)


def test_a_bare_body_for_several_inputs_is_refused() -> None:
    specs = [TensorSpec("ids", "INT64", (-1,)), TensorSpec("mask", "INT64", (-1,))]
    with pytest.raises(ModelInputError, match="has 2 inputs, expected a dict with 'ids'"):
        check_inputs("m", [1, 2], specs)


def test_a_refusal_is_never_retried() -> None:
    assert issubclass(ModelInputError, UnretryableError)


def test_types_that_numpy_lacks_are_told_apart() -> None:
    bf16, fp32 = TensorSpec("a", "BF16", (1,)), TensorSpec("b", "FP32", (1,))
    assert unsupported([bf16, fp32]) == [bf16]


@pytest.mark.parametrize("datatype", DATATYPES, ids=lambda datatype: datatype.name)
def test_a_datatype_has_the_names_that_others_give_it(datatype: Datatype) -> None:
    element = TensorProto.DataType.Value(datatype.onnx)
    value = helper.make_tensor_value_info("X", element, [1])
    result = helper.make_tensor_value_info("Y", element, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "same", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == datatype.onnx_runtime
    assert model_config_pb2.DataType.Value(datatype.config) > 0
    if datatype.dtype is not None:
        assert np_to_triton_dtype(datatype.dtype) == datatype.name
        assert helper.np_dtype_to_tensor_dtype(datatype.dtype) == element


def test_a_numpy_type_has_one_datatype_in_either_byte_order_or_none() -> None:
    assert {datatype_of(dtype) for dtype in DTYPES.values()} == set(DTYPES)
    assert datatype_of(np.dtype(">f4")) == datatype_of(np.dtype("<f4")) == "FP32"
    assert datatype_of(np.dtype(np.complex64)) is None


def test_bytes_on_the_wire() -> None:
    assert nbytes({"a": np.zeros((2, 3), np.float32), "b": np.array([b"abc", b""], object)}) == 24 + 3 + 8


# --- properties ----------------------------------------------------------------------------------------------------

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def fitting(draw: st.DrawFn) -> tuple[TensorSpec, Any]:
    datatype = draw(st.sampled_from(NUMERIC))
    array = draw(arrays.arrays(DTYPES[datatype], draw(SHAPES)))
    shape = tuple(draw(st.sampled_from([-1, size])) for size in array.shape)
    return TensorSpec("x", datatype, shape), array


@given(fitting())
def test_an_array_of_the_models_own_type_passes_unchanged(case: tuple[TensorSpec, Any]) -> None:
    spec, array = case
    same(check_inputs("m", {"x": array}, [spec])["x"], array)


@given(fitting())
def test_an_array_survives_its_way_through_json(case: tuple[TensorSpec, Any]) -> None:
    spec, array = case
    # A list cannot tell the sizes behind an empty dimension.
    if array.size or array.ndim == 1:
        checked = check_inputs("m", {"x": array.tolist()}, [spec])["x"]
        same(checked, array if array.ndim else array.reshape(()))


@given(arrays.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"])) | st.binary()))
def test_strings_survive(array: Any) -> None:
    checked = check_inputs("m", {"x": array}, [TensorSpec("x", "BYTES", (-1,) * array.ndim)])["x"]
    assert checked.shape == array.shape
    assert [item.encode() if isinstance(item, str) else item for item in array.flat] == list(checked.flat)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(VALUES, st.sampled_from(sorted(DTYPES)), st.lists(st.sampled_from([-1, 1, 2]), max_size=3))
def test_any_value_fits_exactly_or_is_refused_by_name(value: Any, datatype: str, shape: list[int]) -> None:
    spec = TensorSpec("the input", datatype, tuple(shape))
    try:
        tensor = check_inputs("the label", {"the input": value}, [spec])["the input"]
    except ModelInputError as error:
        refusal = str(error)
    else:
        assert tensor.dtype == DTYPES[datatype]
        assert len(tensor.shape) == len(shape)
        assert all(want in (-1, have) for have, want in zip(tensor.shape, shape, strict=True))
        return
    assert "the label" in refusal
    assert "the input" in refusal
