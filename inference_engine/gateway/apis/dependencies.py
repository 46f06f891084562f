"""Dependencies of routes: the caller, the request's context, the service."""

from __future__ import annotations

import itertools
import math
import uuid
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, model_validator

from ...labels import check_label
from ..auth.caller import NOBODY, Caller, Context
from ..dispatch.service import Service
from ..http.body_limit import share_of
from ..http.problems import Problem, later, responses
from ..settings import PRIORITY_MAX

#: How long a flow's name or a request id may be: they go into logs and memory.
NAME_MAX_CHARACTERS = 128


async def _caller(request: Request) -> Caller:
    """The caller that the guard has admitted; a request that has not passed the guard has no rights."""
    caller: Caller = getattr(request.state, "caller", NOBODY)
    return caller


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _context(
    request: Request,
    caller: Annotated[Caller, Depends(_caller)],
    x_inference_priority: Annotated[
        str | None,
        Header(
            description="priority band of the request, a whole number from -100 to 100; higher goes first",
            examples=["10"],
        ),
    ] = None,
    x_inference_flow: Annotated[
        str | None,
        Header(
            description="whose request it is: API keys get equal turns, and so do the flows of one key",
            examples=["team-a"],
        ),
    ] = None,
    x_inference_timeout: Annotated[
        str | None, Header(description="seconds to wait for the result", examples=["30"])
    ] = None,
) -> Context:
    settings = _service(request).settings
    priority = caller.priority if x_inference_priority is None else _priority(x_inference_priority)
    if priority > caller.priority and caller.key_id:
        raise Problem(
            403, "priority-not-allowed", f"this API key may use priorities up to {caller.priority}, not {priority}"
        )
    timeout = settings.timeout_seconds if x_inference_timeout is None else _timeout(x_inference_timeout)
    return Context(
        caller=caller,
        priority=priority,
        flow=_name("X-Inference-Flow", x_inference_flow or ""),
        timeout_seconds=min(timeout, settings.timeout_max_seconds),
        request_id=getattr(request.state, "request_id", "") or uuid.uuid4().hex,
        size_bytes=getattr(request.state, "body_bytes", 0),
        share=share_of(request),
    )


def _priority(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = PRIORITY_MAX + 1
    if abs(value) > PRIORITY_MAX:
        raise Problem(
            400,
            "invalid-header",
            f"X-Inference-Priority {text[:40]!r} is not a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}",
        )
    return value


def _timeout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise Problem(400, "invalid-header", f"X-Inference-Timeout {text[:40]!r} is not a number of seconds above zero")
    return value


def _name(header: str, text: str) -> str:
    if len(text) > NAME_MAX_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise Problem(
            400, "invalid-header", f"{header} must be at most {NAME_MAX_CHARACTERS} printable ASCII characters"
        )
    return text


#: Dependencies of routes.
CallerOf = Annotated[Caller, Depends(_caller)]
CallContext = Annotated[Context, Depends(_context)]
ServiceOf = Annotated[Service, Depends(_service)]


def use_label(label: str, request: Request, caller: Caller) -> None:
    """Let only a valid label pass, and record it in the access log. Raises InvalidLabelError; Problem 403 where not allowed."""
    caller.check(check_label(label))
    request.state.label = label


#: How many unknown fields are reported: each is an error of its own, and a body has room for a million of them.
UNKNOWN_TOLD = 3


class Strict(BaseModel):
    """A body that accepts no fields but its own."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, data: Any) -> Any:
        """The body without most of its unknown fields, so that only a few of them are validated."""
        fields = cls.model_fields
        if not isinstance(data, dict) or len(data) <= len(fields) + UNKNOWN_TOLD:
            return data
        unknown = itertools.islice((name for name in data if name not in fields), UNKNOWN_TOLD)
        return {name: data[name] for name in (*fields, *unknown) if name in data}


#: For a request with headers or a query.
LOOK = responses(400, 422)
#: For a request that names a label or a job, or posts a job that it does not wait for.
FIND = responses(400, 404, 422)
#: For a request that posts a job and waits for it.
RUN = responses(400, 404, 409, 422, 504)


#: Retry-After of a gateway that is not ready.
RETRY_SECONDS = 5.0


def check_live(service: Service) -> None:
    """Raises Problem 503 where the process should be replaced."""
    if not service.live:
        raise Problem(503, "not-live", "the gateway no longer works and must be restarted")


def check_ready(service: Service) -> None:
    """Raises Problem 503 where requests would be rejected.

    A paused gateway is ready: it still reports on jobs, and a platform would replace one that is not ready.
    """
    if not service.ready:
        raise later(503, "not-ready", "the gateway is shutting down, or AWS does not respond to it", RETRY_SECONDS)
