"""The Open Inference Protocol, version 2: health, metadata, readiness, the repository's index, and inference.

A label is a model with the one version "1". Labels may have slashes, plain or as %2F; a label that ends like a route (`a/ready`)
is reached with its version (`/v2/models/a/ready/versions/1`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from .... import __version__
from ....jobs import payloads
from ...auth.caller import Context
from ...http import encodings, threads
from ...http.body_limit import hold
from ...http.problems import Problem, responses
from ..dependencies import CallContext, CallerOf, ServiceOf, check_live, check_ready, use_label
from . import request as requests
from . import response as answers
from . import response as results
from . import schema
from .binary import RequestError, ResultError
from .metadata import (
    EXTENSIONS,
    VERSION,
    IndexEntry,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    entry,
    of_model,
)

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

INFER_PROBLEMS = (400, 404, 409, 504)

Label = Annotated[str, Path(description="the model", examples=["resnet50"])]
Version = Annotated[str, Path(description='version of the model; every label has the one version "1"', examples=["1"])]


# --- the server ------------------------------------------------------------------------------------------------------------


@router.get("/health/live", operation_id="v2_live", summary="Whether the gateway is alive")
async def live(service: ServiceOf) -> ServerLive:
    """Answers 200 as long as the process does its work."""
    check_live(service)
    return ServerLive(live=True)


@router.get("/health/ready", operation_id="v2_ready", summary="Whether the gateway accepts requests")
async def ready(service: ServiceOf) -> ServerReady:
    """Answers 503 while the gateway is shutting down, or AWS does not respond to it."""
    check_ready(service)
    return ServerReady(ready=True)


@router.get("", operation_id="v2_server", summary="Name, release and extensions of the server")
@router.get("/", include_in_schema=False)
async def server(_caller: CallerOf) -> ServerMetadata:
    """Name, release and extensions of the protocol."""
    return ServerMetadata(name="inference-engine", version=__version__, extensions=list(EXTENSIONS))


@router.post(
    "/repository/index",
    operation_id="v2_index",
    summary="All models and their states",
    responses=responses(400),
    openapi_extra=schema.INDEX,
)
async def index(request: Request, service: ServiceOf, caller: CallerOf) -> list[IndexEntry]:
    """Models that are or were loaded, or have settings; with `{"ready": true}` only those that a consumer has loaded."""
    try:
        only_ready = requests.read_index(await request.body())
    except RequestError as error:
        raise _malformed(error) from None
    fleet, labels, now = await service.fleet(), await service.labels(), time.time()
    entries = (entry(label, fleet, now) for label in labels if caller.allows(label))
    return [one for one in entries if one.state == "READY" or not only_ready]


# --- models: the longer paths first, because a label may have slashes ------------------------------------------------------


@router.get(
    "/models/{label:path}/versions/{version}/ready",
    operation_id="v2_version_ready",
    summary="Whether a version of a model is loaded",
    responses=responses(400, 404),
)
async def version_ready(
    label: Label, version: Version, request: Request, service: ServiceOf, caller: CallerOf
) -> ModelReady:
    """The same as the request without a version."""
    _check_version(label, version)
    return await model_ready(label, request, service, caller)


@router.get(
    "/models/{label:path}/ready",
    operation_id="v2_model_ready",
    summary="Whether a model is loaded",
    responses=responses(400),
)
async def model_ready(label: Label, request: Request, service: ServiceOf, caller: CallerOf) -> ModelReady:
    """Answers 200 where a live consumer has the model loaded, else 400. A model that is not ready still accepts requests."""
    use_label(label, request, caller)
    found = entry(label, await service.fleet(), time.time())
    if found.state != "READY":
        raise Problem(400, "model-not-ready", f"model {label!r} is not ready: {found.reason}")
    return ModelReady(name=label, ready=True)


@router.post(
    "/models/{label:path}/versions/{version}/infer",
    operation_id="v2_version_infer",
    summary="Run a version of a model",
    response_class=Response,
    responses=responses(*INFER_PROBLEMS) | schema.INFERRED,
    openapi_extra=schema.INFER,
)
async def version_infer(
    label: Label, version: Version, request: Request, service: ServiceOf, context: CallContext
) -> Response:
    """The same as the request without a version."""
    _check_version(label, version)
    return await infer(label, request, service, context)


@router.post(
    "/models/{label:path}/infer",
    operation_id="v2_infer",
    summary="Run a model",
    response_class=Response,
    responses=responses(*INFER_PROBLEMS) | schema.INFERRED,
    openapi_extra=schema.INFER,
)
async def infer(label: Label, request: Request, service: ServiceOf, context: CallContext) -> Response:
    """Waits for the job's end. Tensors are JSON, or bytes after it (Triton's binary tensor data extension), both ways."""
    use_label(label, request, context.caller)
    try:
        body = await _body(request, service.settings.body_max_bytes)
        header_length = request.headers.get(schema.HEADER_LENGTH)
        asked = await threads.run_if(len(body) > threads.LARGE_BYTES, requests.read, label, body, header_length)
    except RequestError as error:
        raise _malformed(error) from None
    context = _own_context(context, asked, len(body), service.settings.timeout_max_seconds)
    done = await service.run(label, asked.inputs, context)
    try:
        large = payloads.exceeds(done.result, threads.LARGE_BYTES)
        answer = await threads.run_if(large, _answer, label, asked, done.result)
    except RequestError as error:
        raise Problem(400, "output-not-available", str(error), message_id=done.message_id) from None
    except ResultError as error:
        raise Problem(500, "result-without-tensors", str(error), message_id=done.message_id) from None
    return await _response(answer, request.headers.get("accept-encoding", ""))


@router.get("/models/{label:path}/versions/{version}/config", include_in_schema=False)
@router.get("/models/{label:path}/config", include_in_schema=False)
@router.get("/models/{label:path}/versions/{version}/stats", include_in_schema=False)
@router.get("/models/{label:path}/stats", include_in_schema=False)
async def not_served(request: Request) -> Response:
    """Routes that clients of Triton may request, and that would otherwise be the metadata of a label of that name."""
    what = "the configuration" if request.url.path.endswith("/config") else "statistics"
    raise Problem(
        404,
        "not-served",
        f"the gateway does not serve {what} of a model, only its inputs and outputs, and GET /metrics",
    )


@router.get("/models/{label:path}/versions/{version}/infer", include_in_schema=False)
@router.get("/models/{label:path}/infer", include_in_schema=False)
async def no_infer() -> Response:
    """Would otherwise be the metadata of a label that ends in /infer."""
    raise Problem(405, "method-not-allowed", "inference needs a POST request", headers={"Allow": "POST"})


@router.get(
    "/models/{label:path}/versions/{version}",
    operation_id="v2_version",
    summary="Inputs and outputs of a version of a model",
    responses=responses(400, 404),
)
async def version_metadata(
    label: Label, version: Version, request: Request, service: ServiceOf, caller: CallerOf
) -> ModelMetadata:
    """The same as the request without a version."""
    _check_version(label, version)
    return await model_metadata(label, request, service, caller)


@router.get(
    "/models/{label:path}",
    operation_id="v2_model",
    summary="Inputs and outputs of a model",
    responses=responses(400, 404),
)
async def model_metadata(label: Label, request: Request, service: ServiceOf, caller: CallerOf) -> ModelMetadata:
    """As the last consumer that loaded the model reported it, even while no consumer has it loaded."""
    use_label(label, request, caller)
    signature = await service.signature(label)
    if signature is None:
        raise Problem(
            404,
            "unknown-model",
            f"model {label!r} is unknown, because no consumer has ever loaded it; an inference request loads it",
        )
    return of_model(signature)


# --- inside ----------------------------------------------------------------------------------------------------------------


def _check_version(label: str, version: str) -> None:
    if version != VERSION:
        raise Problem(
            404, "unknown-version", f"model {label!r} has no version {version!r}; its only version is {VERSION!r}"
        )


def _malformed(error: RequestError) -> Problem:
    return Problem(400, "invalid-request", str(error))


async def _body(request: Request, max_bytes: int) -> bytes:
    """The request's body, decompressed. Raises RequestError, PayloadTooLargeError, Problem 503."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "")
    if not encoding:
        return body
    unpacked = await threads.run(encodings.decompress, body, encoding, max_bytes)
    hold(request, len(unpacked))
    return unpacked


def _answer(label: str, asked: requests.InferRequest, result: Any) -> answers.InferResponse:
    return answers.write(label, VERSION, asked, results.tensors(result))


def _own_context(
    context: Context, asked: requests.InferRequest, size_bytes: int, timeout_max_seconds: float
) -> Context:
    timeout = asked.timeout_seconds or context.timeout_seconds
    return replace(context, size_bytes=size_bytes, timeout_seconds=min(timeout, timeout_max_seconds))


async def _response(answer: answers.InferResponse, accept_encoding: str) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    media_type = "application/json"
    if answer.header_length is not None:
        media_type = "application/octet-stream"
        headers[schema.HEADER_LENGTH] = str(answer.header_length)
    body, coding = answer.body, encodings.chosen(accept_encoding)
    if coding and len(body) >= encodings.COMPRESSED_MIN_BYTES:
        headers["Content-Encoding"] = coding
        body = await threads.run_if(len(body) > threads.LARGE_BYTES, encodings.compress, body, coding)
    return Response(body, media_type=media_type, headers=headers)
