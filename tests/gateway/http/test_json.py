"""Results as JSON: every value has a form that any client reads, and none is told as what it is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from inference_engine.gateway.http.json import JsonAnswer, dumps
from inference_engine.jobs import codec


class Named(BaseModel):
    """Fields that were set travel, by alias."""

    number: int = Field(alias="the number")
    value: Any = None
    other: int | None = None


INFINITE = float("inf")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.array([0.5, -2.0], dtype=np.float16), [0.5, -2.0]),
        (np.array(7, dtype=np.uint64), 7),
        (np.float32(0.5), 0.5),
        (np.array([True, False]), [True, False]),
        (np.zeros((2, 0)), [[], []]),
        (np.array([1 + 2j]), [[1.0, 2.0]]),
        (np.array([1.0, np.nan, np.inf, -np.inf]), [1.0, "NaN", "Infinity", "-Infinity"]),
        (np.array(np.nan), "NaN"),
        ({"x": [float("nan"), INFINITE, -INFINITE, 1, None, True]}, {"x": ["NaN", "Infinity", "-Infinity", 1, None, True]}),
        ({"x": (float("nan"), b"ab", np.array([1]))}, {"x": ["NaN", "YWI=", [1]]}),
        (b"\xff\x00", "/wA="),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([b"caf\xc3\xa9", b""], dtype=object), ["café", ""]),
        (np.array([[b"a"], [b"\xff"]], dtype=object), [["YQ=="], ["/w=="]]),
        (np.array(["a", b"\xff"], dtype=object), ["YQ==", "/w=="]),
        ("\ud800", "\ud800"),
        (Named.model_validate({"the number": 1, "value": np.array([2])}), {"the number": 1, "value": [2]}),
        ([Named.model_validate({"the number": 1, "other": None})], [{"the number": 1, "other": None}]),
    ],
)  # fmt: skip
def test_what_values_become(value: Any, told: Any) -> None:
    assert json.loads(dumps(value)) == told


def test_a_value_that_no_job_can_have_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        dumps({1, 2})


def test_results_may_be_deeper_than_a_model_can_be_walked() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    answer = JsonAnswer(Named.model_validate({"the number": 1, "value": deep}))
    assert bytes(answer.body).count(b"[") == 400
    assert answer.headers["content-type"] == "application/json"


def test_deep_results_may_hold_numbers_that_json_does_not_have() -> None:
    deep: Any = {"x": [float("nan"), (INFINITE,)]}
    for _ in range(600):
        deep = [deep]
    assert dumps(deep) == b"[" * 600 + b'{"x":["NaN",["Infinity"]]}' + b"]" * 600


def test_what_contains_itself_has_no_end_and_is_refused() -> None:
    endless: list[Any] = [float("nan")]
    endless.append(endless)
    with pytest.raises(RecursionError, match="nested too deeply"):
        dumps(endless)


def test_what_is_told_stays_as_it_was() -> None:
    value: dict[str, Any] = {"x": [float("inf"), {"y": (b"ab",)}]}
    dumps(value)
    assert value == {"x": [INFINITE, {"y": (b"ab",)}]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_stays_what_it_is(value: Any) -> None:
    assert json.loads(dumps(codec.decode(codec.encode(value)))) == value
