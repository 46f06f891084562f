"""Forwards requests to convert a model to the service that does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..http.problems import Problem

log = logging.getLogger(__name__)

#: An uploader's answer is a sentence or two; more is not read.
ANSWER_MAX_BYTES = 65_536
#: How much of an uploader's failure message is passed on.
REASON_MAX_CHARACTERS = 500
#: Statuses by which an uploader itself reports that something took too long.
TOO_LATE = (408, 504)


class Uploaded(BaseModel):
    """The uploader's result for a model."""

    model_config = ConfigDict(protected_namespaces=())

    status: str = Field(description="`success` when the model can be used", examples=["success"])
    model_name: str = Field(
        description="label under which the model can now be used", examples=["sentence-transformers--all-MiniLM-L6-v2"]
    )
    message: str = Field(
        description="what was done, for people",
        examples=["Model sentence-transformers/all-MiniLM-L6-v2 successfully converted to ONNX format"],
    )


async def forward(url: str, timeout_seconds: float, body: Mapping[str, Any]) -> Uploaded:
    """Post a request to the uploader and wait for its answer. Raises Problem 502, or 504 where it takes too long."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            # A redirect would turn the POST into a GET elsewhere.
            http.post(url, json=body, allow_redirects=False) as answer,
        ):
            return _uploaded(answer.status, await _read(answer))
    except TimeoutError:
        raise Problem(504, "uploader-timeout", f"the uploader did not answer within {timeout_seconds:g} s") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        # The error names machines of the gateway's own network, which belong only in the log.
        log.error("the uploader at %s cannot be reached: %s: %s", url, type(error).__name__, error)
        raise Problem(
            502, "uploader-unreachable", "the uploader cannot be reached; the gateway's log says why"
        ) from None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    try:
        return await answer.content.readexactly(ANSWER_MAX_BYTES)
    except asyncio.IncompleteReadError as all_of_it:
        return all_of_it.partial


def _uploaded(status: int, content: bytes) -> Uploaded:
    if status in TOO_LATE:
        raise Problem(504, "uploader-timeout", f"the uploader answered {status}: {_reason(content)}")
    if status // 100 != 2:
        raise Problem(
            502, "uploader-failed", f"the uploader answered {status}: {_reason(content)}", upstream_status=status
        )
    try:
        return Uploaded.model_validate_json(content)
    except ValidationError:
        raise Problem(
            502,
            "uploader-failed",
            f"the uploader's answer is not a valid upload result: {_reason(content)}",
            upstream_status=status,
        ) from None


def _reason(content: bytes) -> str:
    return content.decode("utf-8", "replace").strip()[:REASON_MAX_CHARACTERS] or "nothing"
