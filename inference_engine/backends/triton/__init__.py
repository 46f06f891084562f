"""A Triton Inference Server beside the consumer. Needs the `triton` extra."""

from .backend import TritonBackend

__all__ = ["TritonBackend"]
