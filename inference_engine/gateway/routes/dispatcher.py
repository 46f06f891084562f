"""The dispatcher's API: run a task of some type on a label, list workers and labels, have a model converted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, WithJsonSchema
from pydantic_core import PydanticKnownError

from ...fleet import ConsumerView
from ...job import REQUEST_ID_MAX_CHARACTERS
from .. import uploads
from ..context import Caller, Context
from ..dependencies import CallContext, CallerOf, ServiceOf
from ..idempotency import IdempotencyKey, dedup_key
from ..idempotency import request_id as repeated_id
from ..jsonable import JsonAnswer, json_answer
from ..problems import Problem, answer, responses
from .labelled import use_label
from .statuses import FIND, RUN
from .strict import Strict

router = APIRouter(tags=["Dispatcher"])

#: Names that a sentence model gives its input and its output.
TEXT, EMBEDDING = "TEXT", "EMBEDDING"


def _parsed(text: Any) -> Any:
    """The JSON value in a text. Raises ValueError or PydanticKnownError."""
    if not isinstance(text, str):
        raise PydanticKnownError("string_type")
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


class Health(BaseModel):
    """The gateway answers."""

    message: str = Field(description="always `OK`", examples=["OK"])


class Workers(BaseModel):
    """Live consumers."""

    workers: list[str] = Field(description="their ids, sorted", examples=[["worker-id-1", "worker-id-2"]])


class RunTask(Strict):
    """A task for one label."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "task-1",
                    "task_type": "embed_texts",
                    "label": "minilm",
                    "parameters_json": '{"texts": ["text to process"]}',
                }
            ]
        },
    )

    task_id: str = Field(
        "",
        max_length=REQUEST_ID_MAX_CHARACTERS,
        description="the caller's own name of the task; one is made by default",
    )
    task_type: str = Field(
        description="`infer`: the parameters are the model's inputs. `embed_texts`: the parameters hold `texts` for a "
        "sentence model. Any other: a Python function gets `task_id`, `task_type` and `parameters`",
    )
    label: str = Field(description="the model")
    parameters_json: Annotated[
        Any,
        BeforeValidator(_parsed),
        WithJsonSchema({"type": "string", "contentMediaType": "application/json"}),
    ] = Field(description="the parameters: a text that holds JSON")


class SendTask(RunTask):
    """A task without a waiting caller."""

    callback_url: str | None = Field(
        None, description="URL to which changes of its status are posted, signed", examples=["https://example.com/done"]
    )


class Sent(BaseModel):
    """An accepted task."""

    task_id: str = Field(description="the caller's own name of the task", examples=["task-1"])
    message_id: str = Field(
        description="what `GET /task/{id}` knows it by", examples=["4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55"]
    )


class UploadModel(Strict):
    """A model to convert."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str = Field(
        min_length=1, description="its id in the model hub", examples=["sentence-transformers/all-MiniLM-L6-v2"]
    )
    max_batch_size: StrictInt = Field(32, ge=1, le=2**31 - 1, description="the largest batch that it will take")
    overwrite: StrictBool = Field(False, description="whether to convert it again where it is there already")


@router.get("/health", operation_id="dispatcher_health", summary="Whether the gateway answers")
async def health() -> Health:
    """Answers as long as the process lives."""
    return Health(message="OK")


@router.get(
    "/workers",
    operation_id="dispatcher_workers",
    summary="Consumers that live",
)
async def workers(service: ServiceOf, caller: CallerOf) -> Workers:
    """Ids of all live consumers. An API key that is bound to labels sees the consumers that hold one of them."""
    seen = (await service.fleet()).live(time.time())
    return Workers(workers=sorted(view.consumer_id for view in seen if _sees(caller, view)))


@router.get(
    "/labels",
    operation_id="dispatcher_labels",
    summary="Which label is loaded where",
    responses=answer({"resnet50": ["worker-id-1", "worker-id-2"]}),
)
async def labels(service: ServiceOf, caller: CallerOf) -> dict[str, list[str]]:
    """The consumers that have each label loaded. An API key that is bound to labels sees only those labels."""
    return _holders((await service.fleet()).live(time.time()), caller)


@router.post(
    "/run-task",
    operation_id="dispatcher_run_task",
    summary="Run a task and wait for its result",
    response_model=Any,
    responses=RUN | answer({"embeddings": [[0.1, 0.2]]}, "The result"),
)
async def run_task(task: RunTask, request: Request, service: ServiceOf, context: CallContext) -> JsonAnswer:
    """The task's result is the whole response; its form depends on the task type and the model."""
    use_label(task.label, request, context.caller)
    context = _named(context, task)
    response = await service.run(task.label, job_body(task, context.request_id), context)
    return await json_answer(_embeddings(task.label, response.result) if _embeds(task) else response.result)


@router.post(
    "/send-task",
    operation_id="dispatcher_send_task",
    summary="Run a task without waiting",
    status_code=202,
    responses=FIND,
)
async def send_task(
    task: SendTask, request: Request, service: ServiceOf, context: CallContext, idempotency_key: IdempotencyKey
) -> Sent:
    """As `/run-task`, but answers as soon as the task is on its queue. `GET /task/{id}` reports its state and result."""
    use_label(task.label, request, context.caller)
    key = dedup_key(context.caller, task.label, idempotency_key)
    if key is not None and not task.task_id:
        # The answer to a repeat has the first job's name as well.
        context = replace(context, request_id=repeated_id(key))
    context = _named(context, task)
    body = job_body(task, context.request_id)
    message_id = await service.submit(task.label, body, context, callback_url=task.callback_url, dedup_key=key)
    return Sent(task_id=context.request_id, message_id=message_id)


@router.post(
    "/upload-model",
    operation_id="dispatcher_upload_model",
    summary="Have a model converted",
    responses=responses(400, 422, 502, 504),
)
async def upload_model(upload: UploadModel, service: ServiceOf, caller: CallerOf) -> uploads.Uploaded:
    """Forwards the request to the uploader service and waits. For operators' API keys."""
    caller.check_operator()
    settings = service.settings
    if settings.uploader_url is None:
        raise Problem(
            503,
            "no-uploader",
            "no uploader service is set: give the gateway INFERENCE_ENGINE_GATEWAY_UPLOADER_URL, "
            "the URL to which these requests are posted",
        )
    return await uploads.forward(settings.uploader_url, settings.uploader_timeout_seconds, upload.model_dump())


def job_body(task: RunTask, task_id: str) -> Any:
    """The body of the task's job. Raises Problem 422."""
    parameters = task.parameters_json
    if task.task_type == "infer":
        return parameters
    if _embeds(task):
        return {TEXT: _texts(parameters)}
    return {"task_id": task_id, "task_type": task.task_type, "parameters": parameters}


def _embeds(task: RunTask) -> bool:
    return task.task_type == "embed_texts"


def _texts(parameters: Any) -> list[str]:
    texts = parameters.get("texts") if isinstance(parameters, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Problem(
            422,
            "invalid-request",
            'parameters_json of an embed_texts task holds a list of at least one string: {"texts": ["…"]}',
        )
    return texts


def _embeddings(label: str, result: Any) -> dict[str, Any]:
    if not isinstance(result, dict) or EMBEDDING not in result:
        raise Problem(
            400, "not-a-sentence-model", f"label {label!r} gave no output {EMBEDDING}: it is no model for embed_texts"
        )
    return {"embeddings": result[EMBEDDING]}


def _named(context: Context, task: RunTask) -> Context:
    return replace(context, request_id=task.task_id) if task.task_id else context


def _sees(caller: Caller, view: ConsumerView) -> bool:
    return caller.labels is None or any(caller.allows(label) for label in view.loaded)


def _holders(consumers: Iterable[ConsumerView], caller: Caller) -> dict[str, list[str]]:
    holders: dict[str, list[str]] = {}
    for view in sorted(consumers, key=lambda view: view.consumer_id):
        for label in view.loaded:
            if caller.allows(label):
                holders.setdefault(label, []).append(view.consumer_id)
    return dict(sorted(holders.items()))
