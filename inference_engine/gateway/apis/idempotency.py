"""Requests that may be repeated without creating a second job: the header Idempotency-Key.

The name is that of IETF draft-ietf-httpapi-idempotency-key-header. SQS itself detects repeats, so all gateways of a deployment
recognize them, for five minutes (SQS Developer Guide, "Using the Amazon SQS message deduplication ID").
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from fastapi import Depends, Header

from ..auth.caller import Caller
from ..http.problems import Problem

MAX_CHARACTERS = 255


async def _idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="the caller's name for this submission: repeating it within five minutes creates no second job, and "
            "the response has the first job's id; names are separate for each API key and each label",
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
            # Described, not checked by the framework: an invalid header is 400 here, as all others are.
            json_schema_extra={"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        ),
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    if not 1 <= len(idempotency_key) <= MAX_CHARACTERS or not (
        idempotency_key.isascii() and idempotency_key.isprintable()
    ):
        raise Problem(
            400, "invalid-header", f"Idempotency-Key must be 1 to {MAX_CHARACTERS} printable ASCII characters"
        )
    return idempotency_key


#: Dependency of routes: the header, None where the request has none.
IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]


def dedup_key(caller: Caller, label: str, idempotency_key: str | None) -> str | None:
    """The deduplication key for SQS, different for each API key and label, so that no caller gets another's job."""
    if idempotency_key is None:
        return None
    return json.dumps(["gateway", caller.key_id, label, idempotency_key])


def request_id(dedup_key: str) -> str:
    """A request id for the job, the same for every repeat."""
    return hashlib.sha256(dedup_key.encode()).hexdigest()[:32]
