"""Errors as callers get them: one form for all APIs, problem details (RFC 9457), with each API's status codes.

Besides the members of the RFC each problem carries `error`, a copy of the detail: clients of the Open Inference Protocol look for
it under that name.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response as HttpResponse

from ...errors import (
    CallbackError,
    EncodeError,
    InferenceEngineError,
    InvalidLabelError,
    LabelError,
    PayloadTooLargeError,
    TransportError,
    UnknownLabelError,
    UnknownMessageError,
)
from ...jobs.job import Response, ResultStatus

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Limit of a detail as JSON; the detail is sent twice, and its caller, or a model, chooses the length of what it quotes.
DETAIL_MAX_BYTES = 2000
#: Failures of a job that its caller can fix: the body does not fit the model.
CALLERS_FAULT = ("ModelInputError", "DecodeError")


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "/problems/queue-full",
                "title": "Queue full",
                "status": 429,
                "detail": "10000 requests of priority 0 are already waiting, the most allowed; try again in 3 s",
                "error": "10000 requests of priority 0 are already waiting, the most allowed; try again in 3 s",
            }
        },
    )

    type: str = Field(description="reference that identifies the kind of problem")
    title: str = Field(description="the kind of problem, for people")
    status: int = Field(description="the HTTP status code")
    detail: str = Field(description="what was wrong here, and what to do")
    error: str = Field(description="the detail again, where clients of the Open Inference Protocol look for it")


class Problem(Exception):
    """A request's failure, as its caller sees it.

    `kind` is a slug (`queue-full`), `members` are further members of the problem, `headers` those of the response. A long
    `detail` is cut to its beginning.
    """

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.detail = cut(detail, DETAIL_MAX_BYTES)
        super().__init__(self.detail)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})
        self.members = members

    def body(self) -> dict[str, Any]:
        """The members of the problem."""
        return {
            "type": f"/problems/{self.kind}",
            "title": self.kind.replace("-", " ").capitalize().replace("Aws", "AWS"),
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
            **self.members,
        }

    def response(self) -> HttpResponse:
        """The HTTP response, in ASCII: text quoted from the request need not be valid Unicode."""
        return HttpResponse(json.dumps(self.body()), self.status, self.headers, media_type=MEDIA_TYPE)


def cut(text: str, most_bytes: int) -> str:
    """A text, or its beginning where it takes more than `most_bytes` in JSON; quoted text may be as long as a body."""
    # A character takes up to 12 bytes: two escapes of half a surrogate pair each.
    if 12 * len(text) <= most_bytes:
        return text
    sizes = itertools.accumulate(len(json.dumps(character)) - 2 for character in text[:most_bytes])
    fit = sum(size <= most_bytes for size in sizes)
    return text if fit == len(text) else f"{text[:fit]}…"


def plain(number: float) -> str:
    """A number as people write it, large numbers included: `2592000`, `0.5`."""
    return f"{number:.15g}"


def later(status: int, kind: str, detail: str, seconds: float, **members: Any) -> Problem:
    """A problem that may pass with time: with Retry-After, in whole seconds."""
    wait = max(1, math.ceil(seconds))
    return Problem(status, kind, f"{detail}; try again in {wait} s", headers={"Retry-After": str(wait)}, **members)


#: Errors of the library, with status and kind; the first that fits is used.
_ERRORS: tuple[tuple[type[InferenceEngineError], int, str], ...] = (
    (UnknownLabelError, 404, "unknown-label"),
    (UnknownMessageError, 404, "unknown-job"),
    (InvalidLabelError, 400, "invalid-label"),
    (LabelError, 400, "invalid-label"),
    (PayloadTooLargeError, 413, "too-large"),
    (EncodeError, 400, "not-encodable"),
    (CallbackError, 400, "invalid-callback"),
)
#: Retry-After where AWS did not answer even after the SDK's own retries.
AWS_RETRY_SECONDS = 5.0


def problem_of(error: InferenceEngineError) -> Problem:
    """An error of the library, as its caller sees it."""
    for kind_of_error, status, kind in _ERRORS:
        if isinstance(error, kind_of_error):
            return Problem(status, kind, _detail(error))
    if isinstance(error, TransportError):
        # AWS's message names tables and accounts, which belong only in the log.
        log.error("a request failed on a call to AWS: %s", error)
        return later(503, "aws-unavailable", "a call of the gateway to AWS failed; its log says why", AWS_RETRY_SECONDS)
    log.error("unexpected error in a request", exc_info=error)
    return Problem(500, "internal", "the gateway failed; its log says why")


def unknown_job(message_id: str, kept_seconds: float) -> Problem:
    """For a job that does not exist, and word for word for a job of another's label: nobody learns which."""
    return Problem(
        404,
        "unknown-job",
        f"no job that you may see has the message id {message_id!r}; results are kept for {plain(kept_seconds)} s",
    )


def _detail(error: InferenceEngineError) -> str:
    """What is wrong, without the names of tables and queues."""
    if isinstance(error, UnknownLabelError):
        return f"no model or queue has the label {error.label!r}" if error.label else "no model or queue has this label"
    if isinstance(error, UnknownMessageError):
        return "no job that you may see has this message id"
    return str(error)


def problem_of_job(response: Response, longest_seconds: float | None = None) -> Problem:
    """The problem of a job that failed, or that had no result in time; `longest_seconds` where that is the most allowed."""
    failure = response.error
    detail = failure.message if failure else f"the job is {response.status.value}"
    told: dict[str, Any] = {
        "message_id": response.message_id,
        "job_status": response.status.value,
        "error_type": failure.type if failure else "",
    }
    if not response.status.finished:
        poll = f"the job is {response.status.value}; poll GET /task/{response.message_id} for its result"
        more = (
            "set a longer X-Inference-Timeout to wait longer"
            if longest_seconds is None
            else f"the longest wait allowed here is {plain(longest_seconds)} s"
        )
        return Problem(504, "timeout", f"no result in time ({more}): {poll}", **told)
    if response.status is ResultStatus.EXPIRED:
        return Problem(504, "job-expired", detail, **told)
    if response.status is ResultStatus.CANCELLED:
        return Problem(409, "job-cancelled", detail, **told)
    if failure is not None and failure.type in CALLERS_FAULT:
        return Problem(400, "invalid-input", detail, **told)
    if failure is not None and failure.type == "ModelLoadError":
        # The reason names machines and folders of the consumers: it is in the job's record, and in their logs.
        detail = f"no consumer could load the model of label {response.label!r}; POST /v2/repository/index lists the known models"
        return Problem(503, "model-not-loadable", detail, **told)
    return Problem(500, "job-failed", detail, **told)


def answer(example: Any, description: str = "Successful Response") -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of a route's answer, with an example, for models that have none of their own."""
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route may answer with."""
    return {status: {"description": HTTPStatus(status).phrase, "model": ProblemDetails} for status in statuses}


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


async def _problem(_request: Request, error: Exception) -> HttpResponse:
    assert isinstance(error, Problem)
    return error.response()


async def _library_error(_request: Request, error: Exception) -> HttpResponse:
    assert isinstance(error, InferenceEngineError)
    return problem_of(error).response()


async def _invalid(request: Request, error: Exception) -> HttpResponse:
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


async def _http_error(request: Request, error: Exception) -> HttpResponse:
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


async def _unexpected(_request: Request, _error: Exception) -> HttpResponse:
    # The framework logs it with its traceback after this.
    return Problem(500, "internal", "the gateway failed; its log says why").response()
