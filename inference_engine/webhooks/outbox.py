"""Turns changes of the jobs table into deliveries on their queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..jobs.job import ResultStatus
from ..jobs.record import JobRecord
from .queue import WebhookQueue
from .rules import Delivery, JobData

log = logging.getLogger(__name__)


class Outbox:
    """Puts deliveries on the queue, and does nothing else, so that no receiver ever delays the stream."""

    def __init__(self, queue: WebhookQueue) -> None:
        self._queue = queue

    async def put(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Enqueue the deliveries of stream records. Returns the first record that must come again, with all after it.

        Returns None when everything is on the queue. Some of what comes again may be there already, with the same id.
        """
        found = [(record, delivery) for record in records if (delivery := delivery_of(record))]
        outcomes = await self._queue.send([delivery.encode() for _, delivery in found])
        for (record, delivery), error in zip(found, outcomes, strict=True):
            if error is not None:
                log.error("delivery %s and later ones are not enqueued: %s", delivery.id, error)
                return record
        return None


def delivery_of(record: Mapping[str, Any]) -> Delivery | None:
    """The delivery of a stream record: a job that has a callback URL changed its status.

    None for all other records: new jobs, which their producer knows of, expired records, writes that leave the status as it
    was. A record that cannot be read gives None too: it must not stop the stream.
    """
    change = record["dynamodb"]
    if "NewImage" not in change or "callback_url" not in change["NewImage"]:
        return None
    try:
        before = JobRecord.from_item(change["OldImage"]) if "OldImage" in change else None
        after = JobRecord.from_item(change["NewImage"])
        if after.callback_url is None or (before.status if before else None) is after.status or _is_new(before, after):
            return None
        return Delivery.of(after.callback_url, _data(after), attempt=after.attempt, at=_time_of(after, change))
    except (ValueError, KeyError, OverflowError, OSError):
        # For an impossible time Python raises one or another of these, depending on how far off it is.
        log.exception("a job record in the stream cannot be read: %s", change.get("Keys"))
        return None


def _is_new(before: JobRecord | None, after: JobRecord) -> bool:
    # A redriven job has a count of attempts, even where its old record has expired.
    return before is None and after.status is ResultStatus.SUBMITTED and after.attempt == 0


def _data(record: JobRecord) -> JobData:
    return JobData(
        message_id=record.message_id,
        request_id=record.request_id,
        label=record.label,
        status=record.status,
        submitted_at=record.submitted_at or None,
        started_at=record.started_at or None,
        finished_at=record.finished_at or None,
        error=record.error,
    )


def _time_of(record: JobRecord, change: Mapping[str, Any]) -> float:
    """When the status changed, from the record, else when the table was written (a number, or boto3's datetime)."""
    written = change.get("ApproximateCreationDateTime") or time.time()
    written = written.timestamp() if isinstance(written, datetime) else float(written)
    if record.status is ResultStatus.IN_PROGRESS:
        return record.started_at or written
    return (record.status.finished and record.finished_at) or written
