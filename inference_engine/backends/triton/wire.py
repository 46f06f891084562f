"""How Triton's gRPC messages are read and written: errors, descriptions of models, tensors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult
from tritonclient.utils import InferenceServerException

from ...errors import ModelInputError
from ...tensors import TensorSpec, datatype_of, nbytes, unsupported

#: The largest length that gRPC can express for one message, in bytes.
MESSAGE_MAX_BYTES = 2**31 - 1
#: How much of that the names, shapes and framing of one request may take, in bytes.
MESSAGE_OVERHEAD_BYTES = 64 * 1024
#: The first and the longest wait between two looks at something that will change soon, in seconds.
POLL_FIRST_SECONDS, POLL_MAX_SECONDS = 0.01, 0.1

#: What Triton says about a model that it does not serve (any more).
UNSERVED_PHRASES = ("not at ready state", "unknown model")
#: What Triton says, with UNAVAILABLE, about a job that its queue policy rejected.
TURNED_AWAY_PHRASES = ("maximum queue size", "timeout expired")
#: What gRPC says, with a status other than UNAVAILABLE, about a connection that broke during a call.
BROKEN_PHRASES = ("stream removed", "rst_stream", "socket closed", "connection reset")


@dataclass(frozen=True, slots=True)
class Description:
    """Triton's description of a loaded model; a `decoupled` one gives any number of answers to one job."""

    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    decoupled: bool


def is_lost(error: InferenceServerException) -> bool:
    """Whether the error came from a connection that is gone, and not from a server that refuses."""
    status, reason = str(error.status()), (error.message() or "").lower()
    if status.endswith(".UNAVAILABLE"):
        return not any(phrase in reason for phrase in UNSERVED_PHRASES + TURNED_AWAY_PHRASES)
    return status.endswith(".CANCELLED") or any(phrase in reason for phrase in BROKEN_PHRASES)


def is_unserved(error: InferenceServerException) -> bool:
    """Whether the server is there but does not serve the model."""
    reason = (error.message() or "").lower()
    return str(error.status()).endswith(".NOT_FOUND") or any(phrase in reason for phrase in UNSERVED_PHRASES)


def is_dead_process(reason: str) -> bool:
    """Whether Triton gives this reason for a job after the process of a Python model died."""
    lowered = reason.lower()
    return "stub process" in lowered and "not healthy" in lowered


def description_of(metadata: Any, config: Any) -> Description:
    """The description in a ModelMetadataResponse and a ModelConfig. Shapes in the former include the batch dimension."""
    optional = {tensor.name for tensor in config.input if tensor.optional}
    return Description(
        metadata.platform,
        tuple(_spec(tensor, tensor.name in optional) for tensor in metadata.inputs),
        tuple(_spec(tensor, False) for tensor in metadata.outputs),
        config.model_transaction_policy.decoupled,
    )


def _spec(tensor: Any, optional: bool) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape), optional)


def unservable(model: Description) -> str | None:
    """Why the model can never serve jobs, and the remedy; None if it can."""
    if model.decoupled:
        return "it is decoupled (any number of answers to one job): turn model_transaction_policy.decoupled off"
    strange = unsupported([spec for spec in model.inputs if not spec.optional]) + unsupported(model.outputs)
    if strange:
        names = ", ".join(f"{spec.name!r} ({spec})" for spec in strange)
        return f"numpy has no type for {names}: export the model with FP32 or FP16 instead"
    return None


def infer_inputs(label: str, arrays: Mapping[str, NDArray[Any]]) -> list[InferInput]:
    """The inputs of a request. Raises ModelInputError where they do not fit into one."""
    size = nbytes(arrays)
    if size > MESSAGE_MAX_BYTES - MESSAGE_OVERHEAD_BYTES:
        raise ModelInputError(
            f"the inputs {', '.join(map(repr, arrays))} of model {label!r} take {size} bytes, "
            f"more than the {MESSAGE_MAX_BYTES} of one request: split the job"
        )
    return [_infer_input(name, array) for name, array in arrays.items()]


def _infer_input(name: str, array: NDArray[Any]) -> InferInput:
    return InferInput(name, list(array.shape), datatype_of(array.dtype)).set_data_from_numpy(array)


def outputs_of(result: InferResult) -> dict[str, NDArray[Any]]:
    """The arrays of an answer by output name; BYTES as objects: `str` if all elements are valid UTF-8, else `bytes`."""
    return {output.name: _decoded(result.as_numpy(output.name)) for output in result.get_response().outputs}


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != object:
        return array
    decoded = np.empty(array.shape, dtype=object)
    try:
        for index, item in enumerate(array.flat):
            decoded.flat[index] = item.decode()
    except UnicodeDecodeError:
        # One type for the whole tensor: callers should not have to look at each element.
        return array
    return decoded


async def until(check: Callable[[], Awaitable[bool]], timeout_seconds: float) -> bool:
    """Whether `check` came true within `timeout_seconds`; called at least once, then after short, growing waits."""
    deadline, wait = time.monotonic() + timeout_seconds, POLL_FIRST_SECONDS
    while not await check():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(wait, left))
        wait = min(wait * 1.5, POLL_MAX_SECONDS)
    return True
