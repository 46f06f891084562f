"""The status page, and the data that it shows."""

from __future__ import annotations

import time
from importlib.resources import files

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from ... import payloads
from ...job import JobFailure, ResultStatus
from ...job import Response as JobResponse
from .. import threads
from ..dependencies import CallContext, CallerOf, ServiceOf
from ..jsonable import dumps
from ..stats import StatusData
from .statuses import FIND

router = APIRouter(tags=["Status page"])

#: A result is shown to people up to so many characters.
RESULT_MAX_CHARACTERS = 4000
#: The page loads nothing from elsewhere, sends nothing elsewhere, and runs no text as code.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect")),
        "img-src 'self' data:",
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FILES = files("inference_engine.gateway") / "ui"


class JobView(BaseModel):
    """A job as it stands; times are Unix seconds."""

    message_id: str
    request_id: str
    label: str
    status: ResultStatus
    submitted_at: float | None
    started_at: float | None
    finished_at: float | None
    error: JobFailure | None
    result: str | None = Field(description=f"the beginning of its result as JSON, {RESULT_MAX_CHARACTERS} characters")
    result_cut: bool = Field(description="whether there is more of it")


@router.get("/ui", include_in_schema=False)
async def page() -> Response:
    """The page; it asks for a key itself where one is needed."""
    return _file("index.html", "text/html")


@router.get("/ui/app.js", include_in_schema=False)
async def script() -> Response:
    """What the page does."""
    return _file("app.js", "text/javascript")


@router.get("/ui/app.css", include_in_schema=False)
async def styles() -> Response:
    """How the page looks."""
    return _file("app.css", "text/css")


@router.get(
    "/ui/data",
    operation_id="status_data",
    summary="Labels, consumers and this gateway at a glance",
)
async def data(service: ServiceOf, caller: CallerOf) -> StatusData:
    """For operators. One reading of at most two seconds serves all who look."""
    caller.check_operator()
    overview = await service.overview()
    return StatusData(
        deployment=service.deployment,
        now=time.time(),
        ready=service.ready,
        paused=service.paused,
        overview=overview,
        gateway=service.gateway_stats(),
    )


@router.get(
    "/ui/jobs/{message_id}",
    operation_id="status_job",
    summary="A job as it stands",
    responses=FIND,
)
async def job(message_id: str, service: ServiceOf, context: CallContext) -> JobView:
    """For operators: its state and times, its error, and the beginning of its result."""
    context.caller.check_operator()
    return await _view(await service.result(message_id, context))


@router.post(
    "/ui/jobs/{message_id}/cancel",
    operation_id="status_cancel_job",
    summary="Cancel a job",
    responses=FIND,
)
async def cancel(message_id: str, service: ServiceOf, context: CallContext) -> JobView:
    """For operators. A job that has ended stays as it is; the answer tells how it stands then."""
    context.caller.check_operator()
    await service.cancel(message_id, context)
    return await _view(await service.result(message_id, context))


def _file(name: str, media_type: str) -> Response:
    return Response((_FILES / name).read_bytes(), headers=_HEADERS, media_type=f"{media_type}; charset=utf-8")


async def _view(response: JobResponse) -> JobView:
    text = None
    if response.ok:
        large = payloads.exceeds(response.result, threads.LARGE_BYTES)
        text = (await threads.run_if(large, dumps, response.result)).decode("ascii")
    return JobView(
        **response.model_dump(include=JobView.model_fields.keys() - {"result", "result_cut"}),
        result=None if text is None else text[:RESULT_MAX_CHARACTERS],
        result_cut=text is not None and len(text) > RESULT_MAX_CHARACTERS,
    )
