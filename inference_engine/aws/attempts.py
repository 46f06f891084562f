"""Attempts: one consumer's try at one job, and what the record says to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from ..job import Job, ResultStatus
from .job_record import JobRecord

#: More than a message can be received: SQS takes a maxReceiveCount of at most 1,000.
ATTEMPTS_PER_MESSAGE = 10_000


class Start(Enum):
    """What came of the wish to start a job."""

    STARTED = "started"
    FINISHED = "the job has its result already"
    STALE = "a later attempt has it"
    EXHAUSTED = "it was started too often without an end"
    SUPERSEDED = "it was redriven, and another message stands for it"


@dataclass(slots=True)
class Ticket:
    """One attempt of one job by one consumer; `known` is the record as this attempt last saw or wrote it."""

    message_id: str
    job: Job
    attempt: int
    consumer: str
    known: JobRecord | None = None

    @classmethod
    def of(cls, message_id: str, job: Job, receive_count: int, consumer: str) -> Self:
        """The attempt that a received message is; a redriven job keeps the id of its first message."""
        return cls(job.message_id or message_id, job, attempts_before(job) + receive_count, consumer)

    @property
    def noted(self) -> bool:
        """Whether the record tells of this attempt."""
        return self.known is not None and (self.known.attempt, self.known.consumer) == (self.attempt, self.consumer)

    @property
    def starts(self) -> int:
        """Starts of the job that count, this one included once it is noted."""
        return self.known.starts if self.known else 0

    def submitted(self) -> JobRecord:
        """The record as a producer writes it, or who redrives the job."""
        job = self.job
        return JobRecord(
            self.message_id,
            job.label,
            job.request_id,
            ResultStatus.SUBMITTED,
            attempt=attempts_before(job),
            submitted_at=job.submitted_at,
            callback_url=job.callback_url,
            body=job.body if job.keep_body else None,
            body_ref=job.body_ref if job.keep_body else None,
        )

    def forbidden_by(self, record: JobRecord) -> Start | None:
        """Why this attempt may not go on, by what stands in the table."""
        if record.status.finished:
            return Start.FINISHED
        if redrives_of(record) > (self.job.redrive or 0):
            return Start.SUPERSEDED
        others = record.attempt == self.attempt and record.consumer != self.consumer
        return Start.STALE if others or record.attempt > self.attempt else None


def attempts_before(job: Job) -> int:
    """The highest attempt that earlier messages of the job can have had."""
    return (job.redrive or 0) * ATTEMPTS_PER_MESSAGE


def redrives_of(record: JobRecord) -> int:
    """How often the job had been redriven when its record was written."""
    return record.attempt // ATTEMPTS_PER_MESSAGE
