"""Sentences in, embeddings out: a tokenizer and an ONNX encoder together.

This file is also copied next to a model into a Triton repository, where it runs under Triton's Python stub: it must not
import anything from this package.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

#: What the model was trained on; longer texts are cut.
MAX_TOKENS = 256
#: Sentences in one run: more takes memory and is no faster.
RUN_SIZE = 32


class SentenceEncoder:
    """`model.onnx` and `tokenizer.json` of one folder, run with `threads` threads per operator."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        # The tokenizer's own thread pool would compete with the other models for the cores.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()  # to the longest of a run, instead of the file's fixed 128
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.width = int(self.session.get_outputs()[0].shape[-1])

    def encode(self, sentences: Sequence[str]) -> Any:
        """FP32 [len(sentences), width], in the order of `sentences`."""
        result = np.zeros((len(sentences), self.width), dtype=np.float32)
        # Sentences of similar length run together, so that little of a run is padding.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        for start in range(0, len(order), RUN_SIZE):
            chosen = order[start : start + RUN_SIZE]
            result[chosen] = self._run([sentences[index] for index in chosen])
        return result

    def _run(self, sentences: list[str]) -> Any:
        encodings = self.tokenizer.encode_batch(sentences)
        feed = {
            "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
        }
        return self.session.run(["embedding"], feed)[0]
