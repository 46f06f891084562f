"""Dead letters: messages that no consumer could finish, as SQS delivers them and as they are kept for redrive."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ..aws.objects import Blobs
from ..aws.schema import RETENTION_SECONDS
from ..aws.tables import Rows
from ..aws.transport import Transport
from ..errors import PayloadTooLargeError

_PARTITION = "dead-letters"
#: Longer texts go to S3 where there is a bucket: every `list` reads all rows.
TEXT_INLINE_BYTES = 32_768
#: DynamoDB Developer Guide, "Service quotas": 400 KB for an item; the rest of a row is small.
TEXT_MAX_BYTES = 380_000

#: The format of SQS message ids. The deduplication ids that this library sends never match it.
_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message on the dead-letter queue; `source` is the name of the queue that it came from, if SQS reports it."""

    message_id: str
    body: str
    group: str
    deduplication_id: str
    source: str | None
    receipt_handle: str

    @classmethod
    def of_event(cls, record: Mapping[str, Any]) -> Self:
        """The message in one of the `Records` of an SQS event source mapping's event."""
        return cls._of(record["messageId"], record["body"], record["receiptHandle"], record["attributes"])

    @classmethod
    def of_answer(cls, message: Mapping[str, Any]) -> Self:
        """The message in one of the `Messages` of an answer of ReceiveMessage."""
        return cls._of(message["MessageId"], message["Body"], message["ReceiptHandle"], message["Attributes"])

    @classmethod
    def _of(cls, message_id: str, body: str, handle: str, attributes: Mapping[str, str]) -> Self:
        arn = attributes.get("DeadLetterQueueSourceArn", "")
        group, deduplication_id = attributes.get("MessageGroupId", ""), attributes.get("MessageDeduplicationId", "")
        return cls(message_id, body, group, deduplication_id, arn.rpartition(":")[2] or None, handle)

    @property
    def sent_id(self) -> str:
        """The id that the message had when it was sent, by which its caller polls.

        When SQS moves a message of a FIFO queue, the message id becomes the deduplication id (SQS Developer Guide, on
        dead-letter queues), so that one is checked first. Emulators keep the sender's deduplication id and the message id.
        """
        return self.deduplication_id if _MESSAGE_ID.fullmatch(self.deduplication_id) else self.message_id


class DeadLetter(BaseModel):
    """What is kept of a dead message, under the id by which its caller polls; times are Unix seconds.

    `label` is None for a message that is not a job of this library. `kept` says whether the message's text is kept, in the row
    or in S3 (`text_ref`).
    """

    model_config = ConfigDict(frozen=True)

    message_id: str
    label: str | None
    reason: str
    received: int
    dead_at: float
    submitted_at: float | None = None
    queue: str | None = None
    kept: bool = True
    text_ref: str | None = None

    @property
    def redrivable(self) -> bool:
        """Whether there is a job to put back on a queue."""
        return self.label is not None and self.kept


class DeadLetterStore:
    """The rows of dead letters in the registry table. They expire after the retention period of the queues."""

    def __init__(self, transport: Transport, table: str, blobs: Blobs, *, has_bucket: bool) -> None:
        self._rows = Rows(transport, table)
        self._blobs = blobs
        self._inline_max_bytes = TEXT_INLINE_BYTES if has_bucket else TEXT_MAX_BYTES

    async def keep(self, dead_letter: DeadLetter, text: str) -> DeadLetter:
        """Write a dead letter and its text, replacing an earlier one with that id. Returns what is kept."""
        fields: dict[str, Any] = {}
        if len(text.encode("utf-8", "surrogatepass")) <= self._inline_max_bytes:
            fields["message_text"] = {"S": text}
        else:
            dead_letter = await self._with_text_in_s3(dead_letter, text)
        fields["row"] = {"S": dead_letter.model_dump_json()}
        await self._rows.put(_PARTITION, dead_letter.message_id, fields, time.time() + RETENTION_SECONDS)
        return dead_letter

    async def all(self, label: str | None = None) -> list[DeadLetter]:
        """The dead letters of `label`, or of all labels, in the order in which their jobs were submitted."""
        rows = [_dead_letter(item) async for item in self._rows.of(_PARTITION, consistent=True)]
        chosen = [row for row in rows if row is not None and label in (None, row.label)]
        return sorted(chosen, key=lambda row: row.submitted_at or row.dead_at)

    async def get(self, message_id: str) -> tuple[DeadLetter, str | None] | None:
        """A dead letter and its text (None if the text is not kept); None if there is no such dead letter."""
        item = await self._rows.get(_PARTITION, message_id, consistent=True) if message_id else None
        dead_letter = _dead_letter(item) if item else None
        if item is None or dead_letter is None:
            return None
        if dead_letter.text_ref is not None:
            return dead_letter, str(json.loads(await self._blobs.get(dead_letter.text_ref)))
        return dead_letter, item["message_text"]["S"] if dead_letter.kept else None

    async def discard(self, message_id: str) -> bool:
        """Delete a dead letter; False if there is none. A text in S3 is left to the bucket's own expiry."""
        return await self._rows.delete(_PARTITION, message_id, ConditionExpression="attribute_exists(pk)")

    async def _with_text_in_s3(self, dead_letter: DeadLetter, text: str) -> DeadLetter:
        try:
            # Payloads are ASCII, which not every message is; its JSON form is.
            reference = await self._blobs.put("dead-letter", json.dumps(text))
        except PayloadTooLargeError as error:
            reason = f"{dead_letter.reason}; its text is not kept, so it cannot be redriven: {error}"
            return dead_letter.model_copy(update={"kept": False, "reason": reason})
        return dead_letter.model_copy(update={"text_ref": reference})


def _dead_letter(item: Mapping[str, Any]) -> DeadLetter | None:
    """The dead letter of a row; None if it has expired, as DynamoDB deletes expired rows only days later."""
    if int(item["expires_at"]["N"]) <= time.time():
        return None
    return DeadLetter.model_validate_json(item["row"]["S"])
