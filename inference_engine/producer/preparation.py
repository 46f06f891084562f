"""What a job needs before it is sent: a label that may be used, a queue, an encoded body, a message."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from ..aws.queues import OutgoingMessage
from ..deployment import Deployment
from ..errors import EncodeError, LabelError, PayloadTooLargeError
from ..jobs import payloads
from ..jobs.job import Job
from ..labels import SINGLE_QUEUE_LABEL, check_label
from ..settings import WebhookSettings
from ..webhooks.rules import check_callback_url
from .routes import Routes

#: Each change writes the whole record, which holds at most 400 KB with the result (DynamoDB Developer Guide, "Limits").
KEPT_BODY_MAX_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller may specify for a job besides its body and label."""

    deadline: float | None = None
    request_id: str | None = None
    dedup_key: str | None = None
    callback_url: str | None = None
    keep_body: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is ready to send."""

    url: str
    message: OutgoingMessage
    job: Job


class Preparation:
    """Does everything that can fail before anything is sent: a job that cannot be sent must leave nothing behind."""

    def __init__(self, deployment: Deployment, routes: Routes, *, single_queue: bool) -> None:
        self._settings = deployment.settings
        self._blobs = deployment.blobs
        self._routes = routes
        self._single_queue = single_queue
        self._webhooks = WebhookSettings()

    def label(self, label: str | None) -> str:
        """The label of a job for which a caller gave this one. Raises LabelError, InvalidLabelError."""
        if label is not None:
            return check_label(label)
        if self._single_queue:
            return SINGLE_QUEUE_LABEL
        raise LabelError("no label given: post(body, label='name-of-the-model')")

    async def prepare(
        self, body: Any, label: str | None, given: Given, *, recorded: Literal[False] | None = None
    ) -> Prepared:
        """Make a job ready; `recorded` is False where its producer writes no record. Raises what `post_non_blocking` names."""
        label = self.label(label)
        if given.callback_url is not None:
            check_callback_url(given.callback_url, allow_private=self._webhooks.allow_private)
        deduplication_id = uuid.uuid4().hex if given.dedup_key is None else _digest(given.dedup_key)
        url = await self._routes.queue_url(label)
        text, reference = await self._pack(body, given.keep_body)
        try:
            job = Job(
                label=label,
                request_id=given.request_id or uuid.uuid4().hex,
                body=text,
                body_ref=reference,
                submitted_at=time.time(),
                deadline=given.deadline,
                recorded=recorded,
                callback_url=given.callback_url,
                keep_body=True if given.keep_body else None,
            )
        except ValidationError as error:
            raise EncodeError(f"the job cannot be encoded: {error}") from error
        group = await self._routes.group(label, deduplication_id)
        return Prepared(url, OutgoingMessage(job.encode(), group, deduplication_id), job)

    async def _pack(self, body: Any, keep: bool) -> tuple[str | None, str | None]:
        most = self._settings.body_inline_max_bytes
        if keep:
            most = min(most, KEPT_BODY_MAX_BYTES)
        try:
            return await payloads.pack(self._blobs, "body", body, most)
        except PayloadTooLargeError as error:
            if not keep or self._settings.bucket is not None:
                raise
            raise PayloadTooLargeError(f"{error}; without a bucket, keep_body is limited to {most:,} bytes") from error


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
