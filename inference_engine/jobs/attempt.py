"""Attempts: one consumer's try at one job, and whether the record allows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from .job import Job, ResultStatus
from .record import JobRecord

#: More often than a message can be received: SQS allows a maxReceiveCount of at most 1,000.
ATTEMPTS_PER_MESSAGE = 10_000


class Start(Enum):
    """The outcome of trying to start a job."""

    STARTED = "started"
    FINISHED = "the job has its result already"
    STALE = "a later attempt has it"
    EXHAUSTED = "it was started too often without an end"
    SUPERSEDED = "it was redriven, and another message stands for it"


@dataclass(slots=True)
class Attempt:
    """One attempt of one job by one consumer; `known` is the record as this attempt last saw or wrote it."""

    message_id: str
    job: Job
    number: int
    consumer: str
    known: JobRecord | None = None

    @classmethod
    def of(cls, message_id: str, job: Job, receive_count: int, consumer: str) -> Self:
        """The attempt that a received message stands for; a redriven job keeps the id of its first message."""
        return cls(job.message_id or message_id, job, attempts_before(job) + receive_count, consumer)

    @property
    def start_recorded(self) -> bool:
        """Whether the record shows this attempt."""
        return self.known is not None and (self.known.attempt, self.known.consumer) == (self.number, self.consumer)

    @property
    def starts(self) -> int:
        """How many starts of the job count, including this one once it is start_recorded."""
        return self.known.starts if self.known else 0

    def submitted(self) -> JobRecord:
        """The record as a producer or a redrive writes it."""
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
        """Why `record`, as read from the table, forbids this attempt to continue; None if it does not."""
        if record.status.finished:
            return Start.FINISHED
        if redrives_of(record) > (self.job.redrive or 0):
            return Start.SUPERSEDED
        others = record.attempt == self.number and record.consumer != self.consumer
        return Start.STALE if others or record.attempt > self.number else None


def attempts_before(job: Job) -> int:
    """The highest attempt that earlier messages of the job can have had."""
    return (job.redrive or 0) * ATTEMPTS_PER_MESSAGE


def redrives_of(record: JobRecord) -> int:
    """How often the job had been redriven when its record was written."""
    return record.attempt // ATTEMPTS_PER_MESSAGE
