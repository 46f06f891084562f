"""Jobs and responses as values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.errors import DecodeError
from inference_engine.jobs.job import Job, JobFailure, Response, ResultStatus

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
MOMENTS = st.floats(0, 4e9)


@given(TEXT, TEXT, TEXT, MOMENTS, st.none() | MOMENTS)
def test_jobs_arrive_as_they_were_sent(
    label: str, request_id: str, body: str, at: float, deadline: float | None
) -> None:
    job = Job(label=label, request_id=request_id, body=body, submitted_at=at, deadline=deadline)
    text = job.encode()
    assert text.isascii()
    assert Job.decode(text) == job


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "not json",
        '{"version": 2, "label": "a", "request_id": "r", "submitted_at": 1}',
        '{"label": 5, "request_id": "r", "submitted_at": 1}',
        '{"label": "a", "request_id": "r", "submitted_at": 1, "deadline": Infinity}',
        "[" * 10_000,
    ],
)
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="not a job"):
        Job.decode(text)


def test_deadlines() -> None:
    fields: dict[str, Any] = {"label": "a", "request_id": "r", "submitted_at": 0}
    assert not Job(**fields).expired()
    assert Job(**fields, deadline=10).expired(now=10)
    assert not Job(**fields, deadline=10).expired(now=9.9)
    assert Job(**fields, deadline=1).expired()


def test_states_and_responses() -> None:
    open_ones = {status for status in ResultStatus if not status.finished}
    assert open_ones == {ResultStatus.SUBMITTED, ResultStatus.IN_PROGRESS}
    response = Response(message_id="m", request_id="r", label="l", status=ResultStatus.ERROR, status_code=500)
    assert not response.ok
    assert response.model_copy(update={"status": ResultStatus.SUCCESS}).ok
    assert str(JobFailure(type="ValueError", message="no")) == "ValueError: no"
