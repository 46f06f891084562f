"""A job's record as the jobs table keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from .job import JobFailure, ResultStatus


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job's record; times are Unix seconds."""

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
    expires_at: int = 0
    callback_url: str | None = None
    body: str | None = None
    body_ref: str | None = None

    def fields(self) -> dict[str, Any]:
        """The attributes in the table, without the key and without empty ones."""
        fields = {
            "label": self.label,
            "request_id": self.request_id,
            "status": self.status.value,
            "attempt": self.attempt,
            "starts": self.starts or None,
            "consumer": self.consumer or None,
            "result": self.result,
            "result_ref": self.result_ref,
            "error_type": self.error.type if self.error else None,
            "error_message": self.error.message if self.error else None,
            "submitted_at": self.submitted_at,
            "started_at": self.started_at or None,
            "finished_at": self.finished_at or None,
            "expires_at": self.expires_at,
            "callback_url": self.callback_url,
            "body": self.body,
            "body_ref": self.body_ref,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def changes(self, before: JobRecord) -> dict[str, Any]:
        """The attributes to set so that the record `before` becomes this one.

        An attribute that no longer has a value is set to an empty one, which reads as if it were missing.
        """
        known, new = before.fields(), self.fields()
        changed = {name: value for name, value in new.items() if known.get(name) != value}
        emptied = {name: "" if isinstance(known[name], str) else 0 for name in known if name not in new}
        return changed | emptied

    def guard(self) -> dict[str, Any]:
        """The attributes that must be unchanged for a writer that saw this record."""
        return {"status": self.status.value, "attempt": self.attempt}

    @classmethod
    def from_item(cls, item: dict[str, dict[str, str]]) -> Self:
        """The record in an item as DynamoDB returns it."""

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
            result=text("result") or None,
            result_ref=text("result_ref") or None,
            error=JobFailure(type=text("error_type"), message=text("error_message")) if text("error_type") else None,
            submitted_at=number("submitted_at"),
            started_at=number("started_at"),
            finished_at=number("finished_at"),
            expires_at=int(number("expires_at")),
            callback_url=text("callback_url") or None,
            body=text("body") or None,
            body_ref=text("body_ref") or None,
        )
