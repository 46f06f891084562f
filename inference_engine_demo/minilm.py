"""all-MiniLM-L6-v2 as an ONNX graph, from its published weights: BERT with six layers, mean pooling, unit length.

The graph is written node by node, so building it needs no training framework; a test compares it with the framework's
own embeddings. Needs the packages `onnx` and `safetensors` (in the extra `local`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

LAYERS = 6
HEADS = 12
HIDDEN = 384
HEAD_SIZE = HIDDEN // HEADS
#: Epsilon of every layer normalisation, as the model was trained.
NORM_EPSILON = 1e-12
#: Added to the attention scores of padding: far below any real score, but finite in float32.
MASKED_SCORE = -1e9
#: The first opset with LayerNormalization.
OPSET, IR_VERSION = 17, 8


def build_minilm(weights: Path) -> Any:
    """The ONNX model of a safetensors file: input_ids and attention_mask INT64 [batch, tokens] -> embedding [batch, 384]."""
    return _Graph(load_file(weights)).build()


class _Graph:
    """A graph that grows node by node; every method that adds nodes returns the name of its result."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def build(self) -> Any:
        hidden = self.embeddings()
        blocked = self.blocked_scores()
        for layer in range(LAYERS):
            hidden = self.layer(f"encoder.layer.{layer}", hidden, blocked)
        self.unit_length(self.mean_of_tokens(hidden), "embedding")
        tokens = ["batch", "tokens"]
        graph = helper.make_graph(
            self.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", HIDDEN])],
            list(self.constants.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def embeddings(self) -> str:
        """Word plus position plus segment; there is one segment, so its vector is folded into the positions."""
        segment = self.weights["embeddings.token_type_embeddings.weight"][0]
        positions = self.constant("positions", self.weights["embeddings.position_embeddings.weight"] + segment)
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        length = self.op("Shape", "input_ids", start=1, end=2)
        here = self.op("Slice", positions, self.integers(0), length, self.integers(0))
        return self.norm("embeddings.LayerNorm", self.op("Add", words, here))

    def blocked_scores(self) -> str:
        """[batch, 1, 1, tokens]: 0 for a token, a very low score for padding."""
        mask = self.op("Cast", "attention_mask", to=TensorProto.FLOAT)
        mask = self.op("Unsqueeze", mask, self.integers(1, 2))
        return self.op("Mul", self.op("Sub", self.number(1.0), mask), self.number(MASKED_SCORE))

    def layer(self, name: str, hidden: str, blocked: str) -> str:
        """One transformer layer: attention and a feed-forward network, each with its residual and normalisation."""
        attended = self.linear(
            f"{name}.attention.output.dense", self.attention(f"{name}.attention.self", hidden, blocked)
        )
        hidden = self.norm(f"{name}.attention.output.LayerNorm", self.op("Add", attended, hidden))
        wide = self.gelu(self.linear(f"{name}.intermediate.dense", hidden))
        return self.norm(f"{name}.output.LayerNorm", self.op("Add", self.linear(f"{name}.output.dense", wide), hidden))

    def attention(self, name: str, hidden: str, blocked: str) -> str:
        """Scaled dot-product attention over the heads."""
        query = self.heads(self.linear(f"{name}.query", hidden), [0, 2, 1, 3])
        key = self.heads(self.linear(f"{name}.key", hidden), [0, 2, 3, 1])
        value = self.heads(self.linear(f"{name}.value", hidden), [0, 2, 1, 3])
        scores = self.op("Mul", self.op("MatMul", query, key), self.number(1 / math.sqrt(HEAD_SIZE)))
        shares = self.op("Softmax", self.op("Add", scores, blocked), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, self.integers(0, 0, HIDDEN))

    def heads(self, vectors: str, order: list[int]) -> str:
        """[batch, tokens, hidden] cut into heads, its dimensions in the given order."""
        return self.op("Transpose", self.op("Reshape", vectors, self.integers(0, 0, HEADS, HEAD_SIZE)), perm=order)

    def linear(self, name: str, x: str) -> str:
        """x Wᵀ + b."""
        weight = self.constant(f"{name}.weight", np.ascontiguousarray(self.weights[f"{name}.weight"].T))
        return self.op("Add", self.op("MatMul", x, weight), self.weight(f"{name}.bias"))

    def norm(self, name: str, x: str) -> str:
        """Layer normalisation over the hidden dimension."""
        parts = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, *parts, axis=-1, epsilon=NORM_EPSILON)

    def gelu(self, x: str) -> str:
        """The exact form, with the error function."""
        erf = self.op("Erf", self.op("Div", x, self.number(math.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.number(1.0))), self.number(0.5))

    def mean_of_tokens(self, hidden: str) -> str:
        """The mean over the tokens that are not padding."""
        mask = self.op("Unsqueeze", self.op("Cast", "attention_mask", to=TensorProto.FLOAT), self.integers(2))
        total = self.op("ReduceSum", self.op("Mul", hidden, mask), self.integers(1), keepdims=0)
        count = self.op("ReduceSum", mask, self.integers(1), keepdims=0)
        return self.op("Div", total, self.op("Max", count, self.number(1e-9)))

    def unit_length(self, x: str, result: str) -> None:
        """x divided by its length, as the graph's output `result`."""
        length = self.op("Max", self.op("ReduceL2", x, axes=[-1], keepdims=1), self.number(1e-12))
        self.nodes.append(helper.make_node("Div", [x, length], [result]))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        result = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def weight(self, name: str) -> str:
        """A tensor of the weights file."""
        return self.constant(name, self.weights[name])

    def number(self, value: float) -> str:
        """A float constant."""
        return self.constant(f"number {value!r}", np.array(value, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """A constant list of integers: axes, shapes, positions."""
        return self.constant(f"integers {values}", np.array(values, dtype=np.int64))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """An initializer, added once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(array, name)
        return name
