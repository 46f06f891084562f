"""What the protocol reports of the server and of its models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .... import __version__
from ....fleet.view import Fleet, ModelSignature, TensorSpec

#: The version that every label has.
VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "model_repository")
NOT_LOADED = "no consumer has it loaded; an inference request loads it"


class ServerLive(BaseModel):
    """The gateway is alive."""

    live: bool = Field(description="always true", examples=[True])


class ServerReady(BaseModel):
    """The gateway accepts requests."""

    ready: bool = Field(description="always true", examples=[True])


class ServerMetadata(BaseModel):
    """The server that answers here."""

    name: str = Field(examples=["inference-engine"])
    version: str = Field(description="the release of inference-engine", examples=[__version__])
    extensions: list[str] = Field(
        description="the extensions of the protocol that are supported", examples=[list(EXTENSIONS)]
    )


class ModelReady(BaseModel):
    """A consumer has the model loaded."""

    name: str = Field(examples=["resnet50"])
    ready: bool = Field(description="always true", examples=[True])


class TensorMetadata(BaseModel):
    """An input or an output of a model."""

    name: str
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(description="-1 for a dimension of any size", examples=[[-1, 4]])


class ModelMetadata(BaseModel):
    """A model's inputs and outputs, as the last consumer that loaded it reported them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "tiny-a",
                "versions": ["1"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, 4]}],
            }
        }
    )

    name: str = Field(description="the label")
    versions: list[str] = Field(description='always ["1"]')
    platform: str = Field(
        description="what runs the model; `python_function` for a Python function, whose tensors are unknown"
    )
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(BaseModel):
    """A model of the repository."""

    name: str = Field(description="the label", examples=["resnet50"])
    version: str = Field(examples=["1"])
    state: Literal["READY", "LOADING", "UNAVAILABLE"] = Field(
        description="READY: a live consumer has it loaded", examples=["READY"]
    )
    reason: str = Field(description="why the model is not ready; empty if it is", examples=[""])


def of_model(signature: ModelSignature) -> ModelMetadata:
    """A signature in the protocol's form."""
    return ModelMetadata(
        name=signature.label,
        versions=[VERSION],
        platform=signature.platform,
        inputs=[_tensor(one) for one in signature.inputs],
        outputs=[_tensor(one) for one in signature.outputs],
    )


def _tensor(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def entry(label: str, fleet: Fleet, now: float) -> IndexEntry:
    """A label's state in the fleet at a moment (Unix seconds)."""
    holders = fleet.holders(label, now)
    if any(label in holder.loaded for holder in holders):
        return IndexEntry(name=label, version=VERSION, state="READY", reason="")
    if holders:
        return IndexEntry(name=label, version=VERSION, state="LOADING", reason="a consumer is loading it")
    return IndexEntry(name=label, version=VERSION, state="UNAVAILABLE", reason=NOT_LOADED)
