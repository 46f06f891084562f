"""Triton model folders from ONNX files: the complete `config.pbtxt`, read from the model itself.

Needs the package `onnx` (in the extra `local`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from ..tensors import DATATYPES

#: Triton's name for each ONNX element type that it serves.
TRITON_TYPES: dict[int, str] = {TensorProto.DataType.Value(one.onnx): one.config for one in DATATYPES}


def write_onnx_model(
    repository: Path, label: str, model: Any, *, max_batch_size: int = 0, queue_delay_microseconds: int = 0
) -> Path:
    """Write the ONNX `model` as `label` into `repository`, version 1; returns the label's folder.

    `max_batch_size` > 0 says that the first dimension of every input and output is the batch, and lets Triton merge
    requests, for which it waits up to `queue_delay_microseconds`.
    """
    folder = repository / label
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "1" / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "config.pbtxt").write_text(config_text(label, model, max_batch_size, queue_delay_microseconds))
    return folder


def config_text(label: str, model: Any, max_batch_size: int = 0, queue_delay_microseconds: int = 0) -> str:
    """A complete `config.pbtxt`. Raises ValueError for a tensor type that Triton does not serve."""
    constants = {tensor.name for tensor in model.graph.initializer}  # old exporters list weights among the inputs
    inputs = [
        tensor_entry(*described(value, max_batch_size)) for value in model.graph.input if value.name not in constants
    ]
    outputs = [tensor_entry(*described(value, max_batch_size)) for value in model.graph.output]
    return pbtxt(label, "onnxruntime", inputs, outputs, max_batch_size, queue_delay_microseconds)


def pbtxt(
    label: str,
    backend: str,
    inputs: list[str],
    outputs: list[str],
    max_batch_size: int = 0,
    queue_delay_microseconds: int = 0,
) -> str:
    """The text of a `config.pbtxt` from entries that `tensor_entry` made."""
    batching = (
        f"dynamic_batching {{ max_queue_delay_microseconds: {queue_delay_microseconds} }}\n" if max_batch_size else ""
    )
    return (
        f"name: {json.dumps(label)}\nbackend: {json.dumps(backend)}\nmax_batch_size: {max_batch_size}\n"
        f"input [\n{_joined(inputs)}\n]\noutput [\n{_joined(outputs)}\n]\n{batching}"
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
    )


def tensor_entry(name: str, data_type: str, dims: list[int]) -> str:
    """One input or output of a `config.pbtxt`; `dims` without the batch dimension, -1 for a free one."""
    # A model may take a bare scalar, which Triton's configuration can only say as a reshape of one element.
    shape = f"{dims}" if dims else "[ 1 ] reshape { shape: [ ] }"
    return f"  {{ name: {json.dumps(name)} data_type: {data_type} dims: {shape} }}"


def described(value: Any, max_batch_size: int) -> tuple[str, str, list[int]]:
    """(name, Triton type, dims) of a graph's input or output."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in TRITON_TYPES:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ValueError(
            f"tensor {value.name!r} has the type {kind}, which Triton does not serve; export it with another type"
        )
    dims = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else -1 for dim in tensor.shape.dim]
    return value.name, TRITON_TYPES[tensor.elem_type], dims[1:] if max_batch_size else dims


def _joined(entries: list[str]) -> str:
    return ",\n".join(entries)
