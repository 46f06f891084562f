"""The serving agent's API: predictions with a waiting caller, and tasks whose results are fetched later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, WithJsonSchema

from ...jobs.job import Response, ResultStatus
from ..auth.caller import Context
from ..http.json import JsonAnswer, json_answer
from ..http.problems import Problem, responses
from .dependencies import (
    FIND,
    LOOK,
    NAME_MAX_CHARACTERS,
    RUN,
    CallContext,
    CallerOf,
    ServiceOf,
    Strict,
    check_live,
    check_ready,
    use_label,
)
from .idempotency import IdempotencyKey, dedup_key

router = APIRouter(tags=["Serving agent"])

#: DynamoDB takes keys of at most 2048 bytes; an SQS message id has 36.
TASK_ID_MAX_CHARACTERS = 128

TaskStatus = Literal["pending", "running", "succeeded", "failed", "canceled", "expired"]
#: The job's states by this API's names for them, in the same order.
STATUSES: dict[ResultStatus, TaskStatus] = dict(zip(ResultStatus, get_args(TaskStatus), strict=True))

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
TaskId = Annotated[
    str,
    Path(
        max_length=TASK_ID_MAX_CHARACTERS,
        description="the id that `POST /async/v1/predict` returned",
        examples=["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"],
    ),
]


class Predict(Strict):
    """Inputs for a model."""

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model_name": "resnet50", "inputs": {"image": [[0.1, 0.2]]}}]},
    )

    model_name: str = Field(description="label of the model")
    inputs: dict[str, Any] = Field(description="the model's inputs by name")


class AsyncPredict(Predict):
    """Inputs for a model, and options for the task."""

    webhook: str | None = Field(
        None,
        description="URL to which changes of the task's status are posted, signed",
        examples=["https://example.com/done"],
    )
    keep_inputs: StrictBool = Field(
        False, description="keep the inputs with the task, for `GET /task/{id}?inputs=true`"
    )


class Accepted(BaseModel):
    """An accepted task."""

    id: str = Field(description="the task", examples=["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"])


class Task(BaseModel):
    """The current state of a task."""

    model_config = ConfigDict(protected_namespaces=())

    id: str = Field(description="the task", examples=["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"])
    model_name: str = Field(description="label of the model", examples=["resnet50"])
    status: TaskStatus = Field(description="the task's state", examples=["succeeded"])
    outputs: Any = Field(
        None, description="the model's outputs; null until the task has succeeded", examples=[{"label": "cat"}]
    )
    error: str | None = Field(None, description="why there are no outputs", examples=[None])
    created_at: Time | None = Field(None, description="when it was accepted", examples=["2026-01-31T12:00:00.000Z"])
    started_at: Time | None = Field(None, description="when it last started", examples=["2026-01-31T12:00:00.100Z"])
    finished_at: Time | None = Field(None, description="when it ended", examples=["2026-01-31T12:00:00.350Z"])
    queue_seconds: float | None = Field(None, description="seconds from acceptance to the last start", examples=[0.1])
    running_time: float | None = Field(None, description="seconds from the last start to the end", examples=[0.25])
    inputs: Any = Field(None, description="the task's inputs, if they were kept and are requested")


class Canceled(BaseModel):
    """A task that will have no outputs."""

    id: str = Field(description="the task", examples=["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"])
    canceled: bool = Field(description="always true", examples=[True])


class QueueSize(BaseModel):
    """Unfinished work."""

    queue_size: int = Field(ge=0, description="jobs that are waiting or with a consumer", examples=[3])


class Info(BaseModel):
    """What was done."""

    info: str = Field(description="for people", examples=["paused: no work is dispatched"])


class Unfinished(BaseModel):
    """Tasks that were accepted here and have not ended."""

    model_config = ConfigDict(populate_by_name=True)

    number: int = Field(alias="num of unfinished tasks", ge=0, description="how many", examples=[1])
    ids: list[str] = Field(description="which", examples=[["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"]])


class Message(BaseModel):
    """The gateway answers."""

    message: str = Field(description="always `API OK`", examples=["API OK"])


async def _context_of_user(
    request: Request,
    context: CallContext,
    uid: Annotated[
        str | None,
        Header(
            max_length=NAME_MAX_CHARACTERS,
            pattern=r"^[ -~]*$",
            description="whose request it is; X-Inference-Flow takes precedence",
            examples=["user-17"],
        ),
    ] = None,
) -> Context:
    """The request's context; the user is the flow unless the caller names another."""
    if not uid or "x-inference-flow" in request.headers:
        return context
    return replace(context, flow=uid)


UserContext = Annotated[Context, Depends(_context_of_user)]


@router.post(
    "/v1/predict",
    operation_id="serving_agent_predict",
    summary="Predict and wait",
    response_model=Task,
    responses=RUN,
)
async def predict(prediction: Predict, request: Request, service: ServiceOf, context: UserContext) -> JsonAnswer:
    """Answers with the task when it has succeeded; the status code reports any other end."""
    use_label(prediction.model_name, request, context.caller)
    return await json_answer(task_of(await service.run(prediction.model_name, prediction.inputs, context)))


@router.post(
    "/async/v1/predict",
    operation_id="serving_agent_async_predict",
    summary="Predict later",
    responses=FIND,
)
async def async_predict(
    prediction: AsyncPredict,
    request: Request,
    service: ServiceOf,
    context: UserContext,
    idempotency_key: IdempotencyKey,
) -> Accepted:
    """Answers as soon as the task is on its queue; 429 where MAX_QUEUE_SIZE tasks of the model are on that queue already."""
    use_label(prediction.model_name, request, context.caller)
    message_id = await service.submit(
        prediction.model_name,
        prediction.inputs,
        context,
        callback_url=prediction.webhook,
        keep_body=prediction.keep_inputs,
        dedup_key=dedup_key(context.caller, prediction.model_name, idempotency_key),
    )
    return Accepted(id=message_id)


@router.get(
    "/task/{id}",
    operation_id="serving_agent_task",
    summary="The current state of a task",
    response_model=Task,
    responses=FIND,
)
async def task(
    id: TaskId,
    service: ServiceOf,
    context: CallContext,
    inputs: Annotated[bool, Query(description="return the inputs too, if they were kept")] = False,
) -> JsonAnswer:
    """Tasks are kept for a while after their end: `result_ttl_seconds`, a day by default."""
    if not inputs:
        return await json_answer(task_of(await service.result(id, context)))
    response, given = await service.result_and_inputs(id, context)
    found = task_of(response)
    if given is not None:
        found.inputs = given
    return await json_answer(found)


@router.post(
    "/cancel/{id}",
    operation_id="serving_agent_cancel",
    summary="Cancel a task",
    responses=FIND | responses(409),
)
async def cancel(id: TaskId, service: ServiceOf, context: CallContext) -> Canceled:
    """A waiting task is not started; a running one is not interrupted, but its outputs are dropped.

    Cancelling twice is not an error.
    """
    if not await service.cancel(id, context):
        raise Problem(
            409, "ended-already", f"the task has already ended; GET /task/{id} returns its state", message_id=id
        )
    return Canceled(id=id, canceled=True)


@router.get(
    "/v1/queue_size",
    operation_id="serving_agent_queue_size",
    summary="Number of unfinished jobs",
    responses=FIND,
)
async def queue_size(
    service: ServiceOf,
    context: CallContext,
    model_name: Annotated[
        str | None, Query(description="count only the jobs of this label", examples=["resnet50"])
    ] = None,
) -> QueueSize:
    """Jobs on the queue of a label, or on the queues of all labels that the caller may use."""
    return QueueSize(queue_size=await service.queue_size(model_name, context))


@router.get(
    "/unfinished",
    operation_id="serving_agent_unfinished",
    summary="Unfinished tasks",
    response_model=Unfinished,
    responses=LOOK,
)
async def unfinished(service: ServiceOf, context: CallContext) -> JsonAnswer:
    """Of the tasks that this gateway process accepted; tasks of other or earlier processes are not known here."""
    ids = await service.unfinished(context)
    return await json_answer(Unfinished(number=len(ids), ids=ids))


@router.post("/pause", operation_id="serving_agent_pause", summary="Stop dispatching work")
async def pause(service: ServiceOf, caller: CallerOf) -> Info:
    """Until `/unpause`, new tasks get 503 and waiting predictions keep waiting. For operators' API keys."""
    caller.check_operator()
    service.pause()
    return Info(info="paused: no work is dispatched")


@router.post("/unpause", operation_id="serving_agent_unpause", summary="Dispatch work again")
async def unpause(service: ServiceOf, caller: CallerOf) -> Info:
    """The opposite of `/pause`. For operators' API keys."""
    caller.check_operator()
    service.unpause()
    return Info(info="unpaused: work is dispatched again")


@router.get("/live", operation_id="serving_agent_live", summary="Whether the gateway is alive")
async def live(service: ServiceOf) -> Message:
    """For liveness probes: 503 means that the process should be replaced."""
    check_live(service)
    return Message(message="API OK")


@router.get(
    "/ready",
    operation_id="serving_agent_ready",
    summary="Whether the gateway accepts requests",
)
async def ready(service: ServiceOf) -> Message:
    """For readiness probes: 503 while the gateway is shutting down or AWS does not respond to it. A paused gateway is ready."""
    check_ready(service)
    return Message(message="API OK")


def task_of(response: Response) -> Task:
    """A job as this API shows it."""
    submitted, started, finished = response.submitted_at, response.started_at, response.finished_at
    return Task(
        id=response.message_id,
        model_name=response.label,
        status=STATUSES[response.status],
        outputs=response.result,
        error=str(response.error) if response.error else None,
        created_at=_time(submitted),
        started_at=_time(started),
        finished_at=_time(finished),
        queue_seconds=_between(submitted, started),
        running_time=_between(started, finished),
    )


def _time(seconds: float | None) -> str | None:
    """RFC 3339, in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _between(earlier: float | None, later_: float | None) -> float | None:
    """Seconds, at least 0: the clocks of two machines may differ."""
    return None if earlier is None or later_ is None else round(max(0.0, later_ - earlier), 6)
