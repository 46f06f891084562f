"""The status page, and its data."""

from __future__ import annotations

import time

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from ...jobs import payloads
from ...jobs.job import JobFailure, ResultStatus
from ...jobs.job import Response as JobResponse
from ..dispatch.stats import StatusData
from ..http import threads
from ..http.json import dumps
from ..http.paths import PAGE_FILES, page_file
from .dependencies import FIND, CallContext, CallerOf, ServiceOf

router = APIRouter(tags=["Status page"])

#: How many characters of a result are shown.
RESULT_MAX_CHARACTERS = 4000


class JobView(BaseModel):
    """The current state of a job; times are Unix seconds."""

    message_id: str
    request_id: str
    label: str
    status: ResultStatus
    submitted_at: float | None
    started_at: float | None
    finished_at: float | None
    error: JobFailure | None
    result: str | None = Field(description=f"the job's result as JSON, its first {RESULT_MAX_CHARACTERS} characters")
    result_cut: bool = Field(description="whether the result is longer than that")


async def page(request: Request) -> Response:
    """The page and the files it loads; it asks for a key itself where one is needed."""
    return page_file(request.url.path)


for _path in PAGE_FILES:
    router.add_api_route(_path, page, include_in_schema=False)


@router.get(
    "/ui/data",
    operation_id="status_data",
    summary="An overview of labels, consumers and this gateway",
)
async def data(service: ServiceOf, caller: CallerOf) -> StatusData:
    """For operators. One reading, at most two seconds old, serves all viewers."""
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
    summary="The current state of a job",
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
    """For operators. A job that has ended stays as it is; the answer is the job's state afterwards."""
    context.caller.check_operator()
    await service.cancel(message_id, context)
    return await _view(await service.result(message_id, context))


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
