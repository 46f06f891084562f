"""The gateway's OpenAPI description: the framework's, corrected to what the gateway does."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from ..http.paths import PUBLIC_PATHS
from ..http.problems import MEDIA_TYPE
from .status_examples import STATUS_EXAMPLES

#: What the guards of keys and bodies, and the failure handlers, may answer instead of any route.
STATUSES: tuple[int, ...] = (403, 408, 413, 500, 503)
#: And to requests that need a key.
KEY_STATUSES: tuple[int, ...] = (401, 429)

#: Either header carries the key; a gateway on loopback needs none.
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where keys are required"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same key, in its own header"},
}


class Application(FastAPI):
    """The framework's application, which describes errors as they are sent: as problems only."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes; generated once."""
        # The framework keeps the schema that it generates, and with it the changes made here.
        if self.openapi_schema is not None:
            return self.openapi_schema
        schema = super().openapi()
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                statuses = STATUSES
                if path not in PUBLIC_PATHS:
                    operation["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
                    statuses += KEY_STATUSES
                found = _phrases(statuses) | operation["responses"]
                for code, response in found.items():
                    if int(code) >= 400:
                        response["content"] = problem
                operation["responses"] = dict(sorted(found.items()))
                # Not given to the routes: the framework drops nulls from examples.
                if example := STATUS_EXAMPLES.get(operation["operationId"]):
                    operation["responses"]["200"]["content"]["application/json"]["example"] = example
        components = schema["components"]
        components["securitySchemes"] = SECURITY_SCHEMES
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        return schema


def _phrases(statuses: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    return {str(status): {"description": HTTPStatus(status).phrase} for status in statuses}
