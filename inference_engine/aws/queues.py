"""SQS: the queues of labels and load requests, and the dead-letter queue."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aio.batching import Batcher
from ..aio.partial_retry import Again, send_all
from ..aio.single_flight import SingleFlightGroup
from ..errors import NotProvisionedError, TransportError, UnknownLabelError
from ..labels import dead_letter_queue_name, queue_name
from ..settings import Settings
from .schema import dead_letter_queue_attributes, label_queue_attributes
from .transport import Transport

#: SQS API Reference: entries in one batch, and 1 MiB for all of them together (a margin for attributes is left).
ENTRIES_PER_CALL = 10
BATCH_MAX_BYTES = 1_000_000
#: Entries that fail by SQS's own fault are tried up to this many times, in about six seconds.
SEND_TRIES = 7


#: A message's id, or why it was not sent.
_Sent = str | BaseException


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send; for five minutes, SQS drops another with the same group and deduplication id."""

    body: str
    group: str
    deduplication_id: str


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A received message; `sent_at` is in Unix seconds."""

    message_id: str
    body: str
    receipt_handle: str
    receive_count: int
    group: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait to be received, and how many were received but not deleted.

    `dead_letter_queue` is the name of the queue's dead-letter queue, '' if it has none.
    """

    visible: int
    in_flight: int
    dead_letter_queue: str = ""

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.visible + self.in_flight


class Queues:
    """Operations on SQS queues. Queue URLs and batchers are made on first use and kept, one per queue."""

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings
        self._urls: dict[str, str] = {}
        self._lookups: SingleFlightGroup[tuple[str, bool], str] = SingleFlightGroup()
        self._senders: dict[str, Batcher[OutgoingMessage, str]] = {}

    async def of_label(self, label: str, *, create: bool | None = None) -> str:
        """URL of a label's queue, created if missing where `create` (default: the setting) allows; else UnknownLabelError."""
        name = queue_name(self._settings.prefix, label)
        if create is None:
            create = self._settings.auto_create_queues
        try:
            return await self._cached(name, create=create)
        except NotProvisionedError as error:
            raise UnknownLabelError(
                f"label {label!r} has no queue ({name}) and auto_create_queues is off; "
                f"create it with `inference-engine labels create {label}` or correct the label",
                label=label,
            ) from error

    async def named(self, name: str) -> str:
        """URL of a queue by its name. Raises NotProvisionedError."""
        return await self._cached(name, create=False)

    async def send(self, url: str, message: OutgoingMessage) -> str:
        """Send a message and return its id. Messages to one queue share requests and stay in order."""
        if url not in self._senders:
            self._senders[url] = Batcher(
                lambda messages: self._send_batch(url, messages),
                max_items=ENTRIES_PER_CALL,
                max_bytes=BATCH_MAX_BYTES,
                size_of=lambda message: len(message.body),
            )
        return await self._senders[url].submit(message)

    async def receive(
        self, url: str, *, wait_seconds: int, visibility_seconds: int, max_messages: int = ENTRIES_PER_CALL
    ) -> list[ReceivedMessage]:
        """Receive up to ten messages, after a long poll of at most `wait_seconds`.

        Thanks to the attempt id, botocore's retry after a lost answer returns the same messages (API Reference, ReceiveMessage).
        """
        answer = await self._transport.call(
            "sqs",
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=max_messages,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=visibility_seconds,
            ReceiveRequestAttemptId=uuid.uuid4().hex,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
        )
        return [_received(message) for message in answer.get("Messages", [])]

    async def delete(self, url: str, handles: Sequence[str]) -> None:
        """Delete messages, ten in a request. An expired receipt handle is no error: SQS delivers the message again."""
        for chunk in _tens(handles):
            entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(chunk)]
            await self._transport.call("sqs", "delete_message_batch", QueueUrl=url, Entries=entries)

    async def change_visibility(self, url: str, handles: Sequence[str], seconds: int) -> list[str]:
        """Hide messages for `seconds` from now. Returns the handles that SQS refused."""
        refused: list[str] = []
        for chunk in _tens(handles):
            entries = [
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for index, handle in enumerate(chunk)
            ]
            answer = await self._transport.call("sqs", "change_message_visibility_batch", QueueUrl=url, Entries=entries)
            refused += [chunk[int(failed["Id"])] for failed in answer.get("Failed", [])]
        return refused

    async def backlog(self, url: str) -> Backlog:
        """A queue's approximate backlog."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "RedrivePolicy"]
        answer = await self._transport.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=names)
        found = answer["Attributes"]
        dead_letters = json.loads(found.get("RedrivePolicy") or "{}").get("deadLetterTargetArn", "")
        return Backlog(int(found[names[0]]), int(found[names[1]]), dead_letters.rpartition(":")[2])

    async def listed(self, begin: str, most: int, token: str | None) -> tuple[list[str], str | None]:
        """URLs of up to `most` (1,000) queues whose names start with `begin`, and the next page's token; None after the last."""
        page = {"NextToken": token} if token else {}
        answer = await self._transport.call("sqs", "list_queues", QueueNamePrefix=begin, MaxResults=most, **page)
        return answer.get("QueueUrls", []), answer.get("NextToken")

    async def peek(self, url: str) -> str | None:
        """The body of a message that may be received next; None if there is none. The message stays, but counts as received."""
        messages = await self.receive(url, wait_seconds=0, visibility_seconds=0, max_messages=1)
        return messages[0].body if messages else None

    async def close(self) -> None:
        """Wait for pending sends."""
        await asyncio.gather(*(sender.close() for sender in self._senders.values()))

    async def _cached(self, name: str, *, create: bool) -> str:
        if name in self._urls:
            return self._urls[name]
        # A caller that would create the queue must not share the failure of one that would not.
        return await self._lookups.get((name, create), lambda: self._look_up(name, create=create))

    async def _look_up(self, name: str, *, create: bool) -> str:
        self._urls[name] = url = await self._find(name, create=create)
        return url

    async def _find(self, name: str, *, create: bool) -> str:
        try:
            return str((await self._transport.call("sqs", "get_queue_url", QueueName=name))["QueueUrl"])
        except NotProvisionedError:
            if not create:
                raise
        if name == dead_letter_queue_name(self._settings.prefix):
            attributes = dead_letter_queue_attributes(self._settings)
        else:
            attributes = label_queue_attributes(self._settings, await self._dead_letter_arn())
        return str(
            (await self._transport.call("sqs", "create_queue", QueueName=name, Attributes=attributes))["QueueUrl"]
        )

    async def _dead_letter_arn(self) -> str:
        url = await self._cached(dead_letter_queue_name(self._settings.prefix), create=True)
        answer = await self._transport.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    async def _send_batch(self, url: str, messages: list[OutgoingMessage]) -> Sequence[str | BaseException]:
        return await send_all(messages, lambda some: self._send_once(url, some), tries=SEND_TRIES)

    async def _send_once(self, url: str, messages: list[OutgoingMessage]) -> list[_Sent | Again[_Sent]]:
        entries = [
            {
                "Id": str(index),
                "MessageBody": message.body,
                "MessageGroupId": message.group,
                "MessageDeduplicationId": message.deduplication_id,
            }
            for index, message in enumerate(messages)
        ]
        answer = await self._transport.call("sqs", "send_message_batch", QueueUrl=url, Entries=entries)
        outcomes: list[_Sent | Again[_Sent]] = [
            TransportError(f"SQS neither accepted nor refused a message to {url}")
        ] * len(messages)
        for sent in answer.get("Successful", []):
            outcomes[int(sent["Id"])] = sent["MessageId"]
        for failed in answer.get("Failed", []):
            error = refusal(failed, url)
            outcomes[int(failed["Id"])] = error if failed.get("SenderFault") else Again(error)
        return outcomes


def refusal(failed: Mapping[str, Any], where: str) -> TransportError:
    """The error for an entry that SQS did not accept, from its answer to a batch."""
    return TransportError(f"SQS refused a message to {where}: {failed.get('Code')}: {failed.get('Message')}")


def _tens(handles: Sequence[str]) -> Iterator[Sequence[str]]:
    return (handles[start : start + ENTRIES_PER_CALL] for start in range(0, len(handles), ENTRIES_PER_CALL))


def _received(message: dict[str, Any]) -> ReceivedMessage:
    attributes = message["Attributes"]
    return ReceivedMessage(
        message_id=message["MessageId"],
        body=message["Body"],
        receipt_handle=message["ReceiptHandle"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        group=attributes.get("MessageGroupId", ""),
        sent_at=int(attributes.get("SentTimestamp", 0)) / 1000,
    )
