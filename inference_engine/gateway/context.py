"""Who asks, how urgently, and for how long: what every route knows of its request."""

from __future__ import annotations

import fnmatch
import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request

from .problems import Problem
from .settings import PRIORITY_MAX

if TYPE_CHECKING:
    from .service import Service

#: What a caller may name a flow or a request: they go into logs and memory.
NAME_MAX_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Without keys there is one caller, who may do everything.

    `labels` are patterns as a shell has them, None for every label; `priority` is the highest that the caller may ask for and
    what it has by default; an `operator` may pause the gateway, upload models and see the whole fleet.
    """

    key_id: str = ""
    name: str = ""
    labels: tuple[str, ...] | None = None
    priority: int = 0
    operator: bool = True

    def allows(self, label: str) -> bool:
        """Whether the caller may use a label."""
        return self.labels is None or any(fnmatch.fnmatchcase(label, pattern) for pattern in self.labels)

    def check(self, label: str) -> None:
        """Raises Problem 403 where the caller may not use the label."""
        if not self.allows(label):
            raise Problem(403, "label-not-allowed", f"this API key may not use label {label!r}")

    def check_operator(self) -> None:
        """Raises Problem 403 for callers that are no operators."""
        if not self.operator:
            raise Problem(
                403, "not-an-operator", "this needs an operator's API key: inference-engine keys create --operator"
            )


#: May do nothing.
NOBODY = Caller(labels=(), operator=False)


@dataclass(frozen=True, slots=True)
class Context:
    """One request: callers get equal turns, and so do the flows of one caller; times are seconds, sizes bytes."""

    caller: Caller
    priority: int
    flow: str
    timeout_seconds: float
    request_id: str
    size_bytes: int = 0


async def _caller(request: Request) -> Caller:
    """The caller whom the guard has let in; nobody has rights without having passed it."""
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
        Header(description="band of the request, a whole number from -100 to 100; higher goes first", examples=["10"]),
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
            403, "priority-not-allowed", f"this API key may ask for priority {caller.priority} at most, not {priority}"
        )
    timeout = settings.timeout_seconds if x_inference_timeout is None else _timeout(x_inference_timeout)
    return Context(
        caller=caller,
        priority=priority,
        flow=_name("X-Inference-Flow", x_inference_flow or ""),
        timeout_seconds=min(timeout, settings.timeout_max_seconds),
        request_id=getattr(request.state, "request_id", "") or uuid.uuid4().hex,
        size_bytes=getattr(request.state, "body_bytes", 0),
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
ServiceOf = Annotated["Service", Depends(_service)]
