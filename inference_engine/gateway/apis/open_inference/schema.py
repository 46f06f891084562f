"""OpenAPI's description of inference requests and responses, which are read and written here and not by a framework."""

from __future__ import annotations

import json
from typing import Any

from ....tensors import DTYPES

HEADER_LENGTH = "Inference-Header-Content-Length"

_LENGTH_SCHEMA = {"type": "integer", "minimum": 1}
#: Clients write null for what they leave out.
_PARAMETERS: dict[str, Any] = {"type": ["object", "null"], "additionalProperties": True}
_DATA: dict[str, Any] = {
    "type": ["array", "null"],
    "items": {},
    "description": "the elements, flat in C order or nested according to the shape; strings for BYTES",
}
_TENSOR: dict[str, Any] = {
    "name": {"type": "string", "minLength": 1},
    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "datatype": {"type": "string", "enum": list(DTYPES)},
    "data": _DATA,
}

REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {
            "type": ["string", "null"],
            "description": "the caller's own name for the request; returned in the response",
        },
        "parameters": _PARAMETERS
        | {
            "properties": {
                "binary_data_output": {
                    "type": ["boolean", "null"],
                    "description": "whether to return all outputs as bytes",
                },
                "timeout": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "microseconds to wait for the result",
                },
            }
        },
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": _TENSOR
                | {
                    "parameters": _PARAMETERS
                    | {
                        "properties": {
                            "binary_data_size": {
                                "type": ["integer", "null"],
                                "minimum": 0,
                                "description": "how many bytes after the JSON are this tensor's data, instead of `data`",
                            }
                        }
                    }
                },
            },
        },
        "outputs": {
            "type": ["array", "null"],
            "description": "the outputs to return; all by default",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "parameters": _PARAMETERS | {"properties": {"binary_data": {"type": ["boolean", "null"]}}},
                },
            },
        },
    },
}

RESPONSE: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": _TENSOR | {"parameters": _PARAMETERS},
            },
        },
    },
}

REQUEST_EXAMPLE: dict[str, Any] = {
    "id": "mine-1",
    "inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}],
}
RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "mine-1",
    "model_name": "tiny-a",
    "model_version": "1",
    "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 4], "data": [11.0, -16.0, 24.0, 6.0]}],
}

#: JSON, followed by tensors of UINT8, whose bytes are text here.
_BINARY_SIZE = {"binary_data_size": 4}
BINARY_REQUEST_EXAMPLE = (
    json.dumps(
        {
            "inputs": [{"name": "X", "shape": [1, 4], "datatype": "UINT8", "parameters": _BINARY_SIZE}],
            "outputs": [{"name": "Y", "parameters": {"binary_data": True}}],
        }
    ),
    "abcd",
)
BINARY_RESPONSE_EXAMPLE = (
    json.dumps(
        {
            "model_name": "tiny-a",
            "model_version": "1",
            "outputs": [{"name": "Y", "datatype": "UINT8", "shape": [1, 4], "parameters": _BINARY_SIZE}],
        },
        separators=(",", ":"),
    ),
    "ABCD",
)


def _bytes(example: tuple[str, str]) -> dict[str, Any]:
    head, tail = example
    return {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": f"the same JSON, {HEADER_LENGTH} bytes long, followed by the data of its binary tensors",
        },
        # The header itself has no example: it would not fit the other examples of bodies.
        "examples": {"binary": {"summary": f"with {HEADER_LENGTH}: {len(head)}", "value": head + tail}},
    }


#: For the route's `openapi_extra`.
INFER: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "schema": _LENGTH_SCHEMA,
            "description": "length of the JSON at the beginning of the body; by default, the whole body",
        },
        {
            "name": "Content-Encoding",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "examples": ["gzip"]},
            "description": "how the body is compressed: gzip or deflate, or several in the order in which they were applied",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": REQUEST, "example": REQUEST_EXAMPLE},
            "application/octet-stream": _bytes(BINARY_REQUEST_EXAMPLE),
        },
    },
}

#: For the route's `responses`.
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs",
        "headers": {
            HEADER_LENGTH: {
                "description": "length of the JSON at the beginning of the body, if outputs are returned as bytes",
                "schema": _LENGTH_SCHEMA,
            },
            "Content-Encoding": {
                "description": "gzip or deflate, if Accept-Encoding asks for it",
                "schema": {"type": "string"},
            },
        },
        "content": {
            "application/json": {"schema": RESPONSE, "example": RESPONSE_EXAMPLE},
            "application/octet-stream": _bytes(BINARY_RESPONSE_EXAMPLE),
        },
    }
}

#: The optional body of a request for the repository's index.
INDEX: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "ready": {"type": ["boolean", "null"], "description": "only models that a consumer has loaded"}
                    },
                },
                "example": {"ready": True},
            }
        },
    }
}
