"""Tiny real models for tests and demonstrations that need many labels at once: y = x W + b over four numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .onnx_config import write_onnx_model

#: Numbers in a tiny model's input X and in its output Y.
TINY_SIZE = 4
TINY_MAX_BATCH = 64
#: Old enough for every ONNX Runtime that is likely to load it.
TINY_OPSET, TINY_IR_VERSION = 13, 8


def write_tiny_models(repository: Path, labels: Iterable[str]) -> list[Path]:
    """Write one model for each label into `repository`: X FP32 [-1, 4] -> Y FP32 [-1, 4]; returns the folders."""
    return [write_onnx_model(repository, label, _model(label), max_batch_size=TINY_MAX_BATCH) for label in labels]


def tiny_weights(label: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(W [4, 4], b [4]) of the label: small whole numbers that depend on its name alone."""
    numbers = np.frombuffer(hashlib.shake_256(label.encode()).digest(TINY_SIZE * (TINY_SIZE + 1)), dtype=np.int8)
    weights = (numbers // 16).astype(np.float32).reshape(TINY_SIZE + 1, TINY_SIZE)
    return weights[:TINY_SIZE], weights[TINY_SIZE]


def tiny_expected(label: str, x: NDArray[Any]) -> NDArray[np.float32]:
    """What the label's model returns for `x`; exact as long as `x` holds small whole numbers."""
    weight, bias = tiny_weights(label)
    expected: NDArray[np.float32] = np.asarray(x, dtype=np.float32) @ weight + bias
    return expected


def _model(label: str) -> Any:
    weight, bias = tiny_weights(label)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["XW"]), helper.make_node("Add", ["XW", "b"], ["Y"])],
        "tiny",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", TINY_SIZE])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["batch", TINY_SIZE])],
        [numpy_helper.from_array(weight, "W"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", TINY_OPSET)], ir_version=TINY_IR_VERSION)
