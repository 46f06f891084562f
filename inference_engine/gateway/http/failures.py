"""Failures within a route, as problems: one handler for each kind of exception."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...errors import InferenceEngineError
from .problems import Problem, cut, problem_of

#: How many of a request's errors are reported, and how long each may be: a caller chooses the number and length of quoted text.
ERRORS_TOLD = 10
FIELD_MAX_BYTES, MESSAGE_MAX_BYTES = 100, 200


def add_handlers(app: FastAPI) -> None:
    """Have the application answer all exceptions with problems."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(InferenceEngineError, _library_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _library_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InferenceEngineError)
    return problem_of(error).response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [_told(one) for one in error.errors()[:ERRORS_TOLD]]
    detail = "; ".join(f"{one['field'] or one['in']}: {one['message']}" for one in found)
    content_type = request.headers.get("content-type", "")
    if any(one["in"] == "body" for one in found) and "json" not in content_type:
        # A body that does not declare itself as JSON is not read as JSON.
        detail = f"the body was not read: send Content-Type: application/json instead of {content_type[:80]!r}"
    return Problem(422, "invalid-request", detail, errors=found).response()


def _told(one: dict[str, Any]) -> dict[str, str]:
    """The framework's error, worded for the caller."""
    place, *path = one["loc"]
    if one["type"] == "json_invalid":
        at = f" at character {path[0]}" if path else ""
        return {
            "in": "body",
            "field": "",
            "message": f"is not valid JSON{at}: {one.get('ctx', {}).get('error', one['msg'])}",
        }
    message = one["msg"].removeprefix("Value error, ")
    field = ".".join(map(str, path))
    return {"in": str(place), "field": cut(field, FIELD_MAX_BYTES), "message": cut(message, MESSAGE_MAX_BYTES)}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path[:200]}"
    if error.status_code == 404:
        return Problem(
            404, "no-such-route", f"there is no route {asked}; GET /openapi.json lists the routes"
        ).response()
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{asked} is not served; use {allowed}"
        return Problem(405, "method-not-allowed", detail, headers=error.headers).response()
    return Problem(error.status_code, "http-error", str(error.detail), headers=error.headers).response()


async def _unexpected(_request: Request, _error: Exception) -> Response:
    # The framework logs it with its traceback after this.
    return Problem(500, "internal", "the gateway failed; its log says why").response()
