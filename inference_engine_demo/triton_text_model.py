# mypy: ignore-errors
"""Triton Python model: TEXT (strings) -> EMBEDDING. Copied as `model.py` beside the encoder, never imported here."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from sentence_encoder import SentenceEncoder


class TritonPythonModel:
    """One model instance, as Triton's Python backend drives it."""

    def initialize(self, args):
        self.encoder = SentenceEncoder(Path(args["model_repository"]) / args["model_version"])

    def execute(self, requests):
        """All requests of the batch are encoded together."""
        texts = [self.sentences(request) for request in requests]
        good = [text for text in texts if not isinstance(text, Exception)]
        vectors = self.encoder.encode([sentence for text in good for sentence in text])
        responses, start = [], 0
        for text in texts:
            if isinstance(text, Exception):
                error = pb_utils.TritonError(f"TEXT is not UTF-8: {text}", pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse(error=error))
                continue
            part = np.ascontiguousarray(vectors[start : start + len(text)])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", part)]))
            start += len(text)
        return responses

    def sentences(self, request):
        """The request's strings, or the error where one of them is not UTF-8."""
        try:
            return [item.decode() for item in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()]
        except UnicodeDecodeError as error:
            return error

    def finalize(self):
        self.encoder = None
