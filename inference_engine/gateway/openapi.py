"""The gateway's own description: what the framework makes of the routes, told as it is."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .access import PUBLIC_PATHS
from .problems import MEDIA_TYPE

#: Either header carries the key; a gateway on loopback needs none.
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where keys are required"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same in a header of its own"},
}


class Application(FastAPI):
    """The framework's application, with errors described as they are sent: as problems, and as nothing else."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes; made once."""
        schema = super().openapi()
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if path not in PUBLIC_PATHS:
                    operation["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
                for code, response in operation["responses"].items():
                    if int(code) >= 400:
                        response["content"] = problem
        components = schema["components"]
        components["securitySchemes"] = SECURITY_SCHEMES
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        return schema
