"""What computes jobs: the interface of a backend, and the backends that come with the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import needs
from ..fleet.view import ModelSignature, TensorSpec
from .base import Backend, LoadedModel, Work
from .function import FunctionBackend
from .simulated import SimulatedBackend

if TYPE_CHECKING:
    from .onnx import OnnxBackend
    from .triton import TritonBackend

__all__ = [
    "Backend",
    "FunctionBackend",
    "LoadedModel",
    "ModelSignature",
    "OnnxBackend",
    "SimulatedBackend",
    "TensorSpec",
    "TritonBackend",
    "Work",
]


def __getattr__(name: str) -> Any:
    # Each needs an extra, which a plain install does not have.
    if name == "OnnxBackend":
        with needs("onnx"):
            from .onnx import OnnxBackend
        return OnnxBackend
    if name == "TritonBackend":
        with needs("triton"):
            from .triton import TritonBackend
        return TritonBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
