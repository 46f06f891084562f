"""The router's API: one model behind the gateway, queried with prompts."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..http.json import JsonAnswer, json_answer
from ..http.problems import Problem
from ..settings import GatewaySettings
from .dependencies import RUN, CallContext, ServiceOf, check_live, check_ready, use_label

log = logging.getLogger(__name__)

router = APIRouter(tags=["Router"])

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Alive(BaseModel):
    """The process is alive."""

    status: str = Field(description="always `ok`", examples=["ok"])


class RouterReady(BaseModel):
    """Requests are accepted."""

    ready: bool = Field(description="always true; a gateway that is not ready answers 503", examples=[True])


class Prompt(BaseModel):
    """What to ask the model."""

    # Not Strict, unlike the bodies of the other APIs: the API's first server (Go, encoding/json) ignores unknown fields, and
    # clients of chat models send some along (`model`, `stream`).
    prompt: str = Field(description="the prompt", examples=["Why is the sky blue?"])


class Inferred(BaseModel):
    """The model's answer, and where it came from."""

    modelRef: str = Field(description="label of the model", examples=["llama-3-8b"])
    prompt: str = Field(description="the prompt that was answered", examples=["Why is the sky blue?"])
    routerPod: str = Field(
        description="host name of the gateway; on Kubernetes, its pod's name", examples=["router-7d9f-x2x"]
    )
    kvEndpoints: list[str] = Field(description="the model's key-value stores, as configured", examples=[["kv-0:6379"]])
    processingMs: int = Field(description="milliseconds from request to result, including waiting", examples=[42])
    result: Any = Field(description="what the model answered", examples=[{"text": "Because of Rayleigh scattering."}])


def tell_settings(settings: GatewaySettings) -> None:
    """Log at the start how the router's variables were read, where a model is set."""
    if settings.model_ref is not None:
        log.info(
            "POST /infer sends prompts to label %s (MODEL_REF); MAX_CONCURRENCY of all APIs: %d; KV_ENDPOINTS: %s",
            settings.model_ref,
            settings.max_concurrency,
            ", ".join(map(masked, settings.kv_endpoints)) or "none",
        )


def masked(endpoint: str) -> str:
    """An address, or a URL, without its possible secrets: user, password and query."""
    found = _SCHEME.match(endpoint)
    scheme = found[0] if found else ""
    before, user, rest = endpoint[len(scheme) :].rpartition("@")
    if "?" in before:
        # Part of a password, or of a query with a secret: both may contain any character unescaped.
        return f"{scheme}…"
    address, query, _ = rest.partition("?")
    return f"{scheme}{'…@' if user else ''}{address}{'?…' if query else ''}"


@router.get("/healthz", operation_id="router_healthz", summary="Whether the gateway is alive")
async def healthz(service: ServiceOf) -> Alive:
    """For liveness probes: 503 means that the process should be replaced."""
    check_live(service)
    return Alive(status="ok")


@router.get("/readyz", operation_id="router_readyz", summary="Whether the gateway accepts requests")
async def readyz(service: ServiceOf) -> RouterReady:
    """For readiness probes: 503 while the gateway is shutting down or AWS does not respond to it."""
    check_ready(service)
    return RouterReady(ready=True)


@router.post(
    "/infer",
    operation_id="router_infer",
    summary="Ask the model",
    response_model=Inferred,
    responses=RUN,
)
async def infer(prompt: Prompt, request: Request, service: ServiceOf, context: CallContext) -> JsonAnswer:
    """Runs a job of the label MODEL_REF, whose body is the prompt under the name PROMPT_INPUT, and waits for its result."""
    started = time.monotonic()
    settings = service.settings
    if settings.model_ref is None:
        raise Problem(503, "no-model", "no model is configured; set MODEL_REF to the label that prompts go to")
    use_label(settings.model_ref, request, context.caller)
    response = await service.run(settings.model_ref, {settings.prompt_input: prompt.prompt}, context)
    return await json_answer(
        Inferred(
            modelRef=settings.model_ref,
            prompt=prompt.prompt,
            routerPod=os.environ.get("HOSTNAME") or socket.gethostname(),
            kvEndpoints=list(settings.kv_endpoints),
            processingMs=round((time.monotonic() - started) * 1000),
            result=response.result,
        )
    )
