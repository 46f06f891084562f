"""Puts the routes of all APIs over one Service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import InferenceEngineError
from . import metrics
from .disconnect import CancelOnDisconnect
from .problems import MEDIA_TYPE, Problem, problem_of
from .routes import dispatcher, open_inference, router, serving_agent, status
from .service import Service

DESCRIPTION = """\
Jobs for more machine learning models than there is memory: each is routed to a consumer that has its model (*label*) loaded.
Four APIs serve the same jobs; pick the one that your clients speak already.

Every request may carry `X-Inference-Priority`, `X-Inference-Flow` and `X-Inference-Timeout`.
Every error is a problem (RFC 9457)."""


class Application(FastAPI):
    """The framework's application, with errors described as they are sent: as problems, and as nothing else."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes; made once."""
        schema = super().openapi()
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        for path in schema["paths"].values():
            for operation in path.values():
                for code, response in operation["responses"].items():
                    if int(code) >= 400:
                        response["content"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        return schema


def create_app(service: Service) -> FastAPI:
    """The ASGI application; it starts the service and ends it. `guards.guarded` puts keys and limits around it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = Application(
        title="inference-engine gateway",
        version=installed_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        # The pages of the framework load scripts from elsewhere, into a page where keys are typed.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.service = service
    app.state.metrics = metrics.Metrics(service)
    for api in (open_inference, dispatcher, serving_agent, router, status, metrics):
        app.include_router(api.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(InferenceEngineError, _library_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(metrics.Metered, metrics=app.state.metrics)
    return app


def installed_version() -> str:
    """The version of this library."""
    try:
        return version("inference-engine")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _library_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InferenceEngineError)
    return problem_of(error).response()


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [
        {"in": str(one["loc"][0]), "field": ".".join(map(str, one["loc"][1:])), "message": one["msg"]}
        for one in error.errors()
    ]
    detail = "; ".join(f"{one['field'] or one['in']}: {one['message']}" for one in found)
    return Problem(422, "invalid-request", detail, errors=found).response()


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kinds = {404: "no-such-route", 405: "method-not-allowed"}
    problem = Problem(
        error.status_code, kinds.get(error.status_code, "http-error"), str(error.detail), headers=error.headers
    )
    return problem.response()


async def _unexpected(_request: Request, _error: Exception) -> Response:
    # The framework logs it with its traceback after this.
    return Problem(500, "internal", "the gateway failed; its log tells why").response()
