"""The job on its queue, the states of its record, and the response to its caller."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DecodeError

#: The caller's own name for a job is stored in its message and its record, whose sizes are limited.
REQUEST_ID_MAX_CHARACTERS = 1000
CALLBACK_URL_MAX_CHARACTERS = 2048
#: The end of the year 9999, the latest expiry that a record can hold.
LAST_DEADLINE = 253_402_300_799


class ResultStatus(StrEnum):
    """The state of a job.

    SUBMITTED ──► IN_PROGRESS ──► SUCCESS
        │  ▲           │  │ └────► ERROR
        │  └───────────┘  ├──────► CANCELLED
        │   (released)    └──────► EXPIRED
        └────────────────────────► CANCELLED | EXPIRED | ERROR

    Only the ERROR of a dead-lettered job may become SUBMITTED again, when an operator redrives the job.
    """

    SUBMITTED = "SUBMITTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def finished(self) -> bool:
        """Whether this state is final, unless an operator redrives the job."""
        return self not in (ResultStatus.SUBMITTED, ResultStatus.IN_PROGRESS)


class JobFailure(BaseModel):
    """Why there is no result: the name of an exception and its message."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class Response(BaseModel):
    """What a caller gets for a job.

    `status_code` is 200 with a result, 500 for a failure or a timeout, 202 while the job is not finished. After a timeout
    `status` is the last state that was seen; the job goes on and can still be polled by its message id. The times are
    Unix seconds, None for what has not happened or is not known. Where a job ends before its start is recorded,
    `started_at` is when its computation began.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    message_id: str
    request_id: str
    label: str
    status: ResultStatus
    status_code: int
    result: Any = None
    error: JobFailure | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the job succeeded."""
        return self.status is ResultStatus.SUCCESS


class Job(BaseModel):
    """One job as a message on its queue: `body` is the codec's text; where the text is in S3, `body_ref` refers to it.

    `decode` raises DecodeError for a message that this library did not write.
    """

    model_config = ConfigDict(frozen=True)

    version: int = Field(1, ge=1, le=1)
    label: str
    request_id: str = Field(max_length=REQUEST_ID_MAX_CHARACTERS)
    body: str | None = None
    body_ref: str | None = None
    submitted_at: float
    deadline: float | None = Field(
        None,
        le=LAST_DEADLINE,
        allow_inf_nan=False,
        description="Unix time in seconds after which nobody wants the result",
    )
    recorded: Literal[False] | None = Field(
        None, description="False where the producer writes no record, because only its waiting caller knows of the job"
    )
    callback_url: str | None = Field(
        None, max_length=CALLBACK_URL_MAX_CHARACTERS, description="URL to which changes of its status are delivered"
    )
    keep_body: Literal[True] | None = Field(None, description="True where its record keeps the body, to be read again")
    message_id: str | None = Field(
        None,
        description="the id under which its result is kept, if the job was redriven: this message is not its first",
    )
    redrive: int | None = Field(
        None, ge=1, description="how often it was redriven, if it was; this distinguishes its messages"
    )

    def encode(self) -> str:
        """The message body for SQS: ASCII JSON."""
        return json.dumps(self.model_dump(exclude_none=True), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Job:
        """The job in a message body. Raises DecodeError for anything that `encode` did not write."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DecodeError(f"message is not a job of this library (begins with {text[:60]!r}): {error}") from error

    def expired(self, now: float | None = None) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and self.deadline <= (time.time() if now is None else now)
