"""A job's record as the jobs table keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ..job import JobFailure, ResultStatus


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job as its record tells it; times are Unix seconds."""

    message_id: str
    label: str
    request_id: str
    status: ResultStatus
    attempt: int = 0
    starts: int = 0
    consumer: str = ""
    result: str | None = None
    result_ref: str | None = None
    error: JobFailure | None = None
    submitted_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    expires_at: float = 0.0

    @classmethod
    def from_item(cls, item: dict[str, dict[str, str]]) -> Self:
        """The record in an item as DynamoDB gives it."""

        def text(name: str) -> str:
            return item.get(name, {}).get("S", "")

        def number(name: str) -> float:
            return float(item.get(name, {}).get("N", 0))

        return cls(
            message_id=text("message_id"),
            label=text("label"),
            request_id=text("request_id"),
            status=ResultStatus(text("status")),
            attempt=int(number("attempt")),
            starts=int(number("starts")),
            consumer=text("consumer"),
            result=item["result"]["S"] if "result" in item else None,
            result_ref=item["result_ref"]["S"] if "result_ref" in item else None,
            error=JobFailure(type=text("error_type"), message=text("error_message")) if "error_type" in item else None,
            submitted_at=number("submitted_at"),
            started_at=number("started_at"),
            finished_at=number("finished_at"),
            expires_at=number("expires_at"),
        )
