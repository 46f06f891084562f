"""The gateway's own description: what the framework makes of the routes, told as it is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from .access import PUBLIC_PATHS
from .problems import MEDIA_TYPE
from .routes.status_examples import STATUS_EXAMPLES

#: What stands around every route may answer in its place: the guards of keys and of bodies, and whoever tells of failures.
STATUSES: tuple[int, ...] = (403, 408, 413, 500, 503)
#: To requests that need a key, besides.
KEY_STATUSES: tuple[int, ...] = (401, 429)

#: Either header carries the key; a gateway on loopback needs none.
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where keys are required"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same in a header of its own"},
}


class Application(FastAPI):
    """The framework's application, with errors described as they are sent: as problems, and as nothing else."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes; made once."""
        # The framework keeps what it makes, and what is changed in it here.
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
                # Not given to the routes: the framework leaves out what is null in an example.
                if example := STATUS_EXAMPLES.get(operation["operationId"]):
                    operation["responses"]["200"]["content"]["application/json"]["example"] = example
        components = schema["components"]
        components["securitySchemes"] = SECURITY_SCHEMES
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        return schema


def _phrases(statuses: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    return {str(status): {"description": HTTPStatus(status).phrase} for status in statuses}
