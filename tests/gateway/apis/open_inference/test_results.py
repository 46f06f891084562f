"""Results of jobs as tensors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.gateway.apis.open_inference import response as results
from inference_engine.gateway.apis.open_inference.binary import ResultError
from inference_engine.gateway.apis.open_inference.request import DIMENSIONS_MAX
from inference_engine.jobs import codec
from inference_engine.tensors import datatype_of


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "elements"),
    [
        (3, "INT64", [1], [3]),
        (2.5, "FP64", [1], [2.5]),
        (True, "BOOL", [1], [True]),
        ("é", "BYTES", [1], ["é"]),
        (b"\xff", "BYTES", [1], [b"\xff"]),
        ([1, 2], "INT64", [2], [1, 2]),
        ([1, 2.5], "FP64", [2], [1.0, 2.5]),
        ([[1, 2], [3, 4]], "INT64", [2, 2], [1, 2, 3, 4]),
        ([["a"], ["b"]], "BYTES", [2, 1], ["a", "b"]),
        ([], "FP64", [0], []),
        ([[], []], "FP64", [2, 0], []),
        ([2**63, 1], "UINT64", [2], [2**63, 1]),
        (-(2**63), "INT64", [1], [-(2**63)]),
        ([[[True]]], "BOOL", [1, 1, 1], [True]),
    ],
)
def test_plain_values_are_tensors_of_their_kind(
    value: Any, datatype: str, shape: list[int], elements: list[Any]
) -> None:
    array = results.tensors({"A": value})["A"]
    assert datatype_of(array.dtype) == datatype
    assert list(array.shape) == shape
    assert array.reshape(-1).tolist() == elements


@pytest.mark.parametrize(
    "value",
    [
        None,
        [None],
        {"a": 1},
        [{"a": 1}],
        [1, "a"],
        [1, True],
        [True, 0.5],
        [[1], [2, 3]],
        [1, [2]],
        [[], 1],
        2**64,
        [2**63, -1],
        [2**53 + 1, 0.5],
        [b"a", "b"],
    ],
)
def test_anything_else_is_its_json(value: Any) -> None:
    array = results.tensors({"A": value})["A"]
    assert array.shape == (1,)
    assert codec.decode(array[0]) == value


@pytest.mark.parametrize("depth", [1, 31, 32, 33, 64, 65, 400])
@pytest.mark.parametrize("leaf", [1, "a", []])
def test_lists_deeper_than_tensors_are_their_json(depth: int, leaf: Any) -> None:
    value = leaf
    for _ in range(depth - (leaf == [])):
        value = [value]
    array = results.tensors({"A": value})["A"]
    if depth <= DIMENSIONS_MAX:
        assert (array.ndim, array.size) == (depth, int(leaf != []))
    else:
        assert array.shape == (1,)
        assert codec.decode(array[0]) == value


def test_arrays_within_are_what_the_codec_makes_of_them() -> None:
    array = results.tensors({"A": {"deep": np.arange(2, dtype=np.int8)}})["A"]
    assert json.loads(array[0]) == {"deep": {"$tensor": {"dtype": "|i1", "shape": [2], "data": "AAE="}}}


@pytest.mark.parametrize("value", [5, [1], "text", None, np.zeros(2)])
def test_a_result_that_is_no_mapping_is_the_only_output(value: Any) -> None:
    assert list(results.tensors(value)) == ["output"]


def test_arrays_are_taken_as_they_are() -> None:
    given_arrays = {"A": np.zeros((2, 0), np.float16), "B": np.array(5, ">u2"), "C": np.array(["a", b"b"], object)}
    found = results.tensors(given_arrays)
    assert all(found[name] is array for name, array in given_arrays.items())
    assert [datatype_of(array.dtype) for array in found.values()] == ["FP16", "UINT16", "BYTES"]


@pytest.mark.parametrize("array", [np.zeros(1, complex), np.zeros(1, np.longdouble)])
def test_an_array_that_no_datatype_carries_is_told(array: Any) -> None:
    with pytest.raises(ResultError, match=f"output 'A' is an array of {array.dtype}, which is not a datatype"):
        results.tensors({"A": array})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def is_exactly(found: Any, wanted: Any) -> bool:
    return found == wanted and (type(found) is type(wanted) or (type(found) is float and type(wanted) is int))


@given(values)
def test_every_result_is_told_exactly(value: Any) -> None:
    array = results.tensors({"A": value})["A"]
    found, wanted = array.reshape(-1).tolist(), leaves(value)
    if len(found) != len(wanted) or not all(map(is_exactly, found, wanted)):
        assert codec.decode(array[0]) == value
