"""The queue of deliveries to callback URLs: a standard queue, so other deliveries overtake one that is retried later.

A receiver delays other receivers' deliveries only if its own occupy all runs of the Lambda function.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..aws.queues import ENTRIES_PER_CALL, Queues, refusal
from ..aws.schema import WEBHOOK_VISIBILITY_SECONDS
from ..aws.transport import Transport
from ..errors import TransportError
from ..labels import webhook_queue_name


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A message of the queue; `tries` counts its receives, including this one."""

    message_id: str
    body: str
    receipt_handle: str
    tries: int

    @classmethod
    def of_event(cls, record: Mapping[str, Any]) -> Self:
        """The message in a record of a Lambda event."""
        count = int(record["attributes"]["ApproximateReceiveCount"])
        return cls(record["messageId"], record["body"], record["receiptHandle"], count)

    @classmethod
    def of_answer(cls, message: Mapping[str, Any]) -> Self:
        """The message in an answer of ReceiveMessage."""
        count = int(message["Attributes"]["ApproximateReceiveCount"])
        return cls(message["MessageId"], message["Body"], message["ReceiptHandle"], count)


class WebhookQueue:
    """Operations on the queue of one deployment."""

    def __init__(self, transport: Transport, queues: Queues, prefix: str) -> None:
        self._transport = transport
        self._queues = queues
        self._name = webhook_queue_name(prefix)

    async def send(self, bodies: Sequence[str]) -> list[TransportError | None]:
        """Send messages, ten in a request. Returns for each the error that kept it from being sent, or None."""
        tens = [bodies[start : start + ENTRIES_PER_CALL] for start in range(0, len(bodies), ENTRIES_PER_CALL)]
        outcomes = await asyncio.gather(*(self._send(ten) for ten in tens))
        return [outcome for ten in outcomes for outcome in ten]

    async def receive(
        self, wait_seconds: int, visibility_seconds: int = WEBHOOK_VISIBILITY_SECONDS
    ) -> list[WebhookMessage]:
        """Receive up to ten messages, after a long poll of at most `wait_seconds`."""
        answer = await self._transport.call(
            "sqs",
            "receive_message",
            QueueUrl=await self._url(),
            MaxNumberOfMessages=ENTRIES_PER_CALL,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=visibility_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [WebhookMessage.of_answer(message) for message in answer.get("Messages", [])]

    async def delete(self, messages: Sequence[WebhookMessage]) -> None:
        """Delete messages."""
        await self._queues.delete(await self._url(), [message.receipt_handle for message in messages])

    async def hide(self, messages: Mapping[WebhookMessage, float]) -> None:
        """Hide up to ten messages, each for its own number of seconds from now.

        Raises TransportError where SQS refuses one: it returns after its previous timeout, the others after their new ones.
        """
        if not messages:
            return
        entries = [
            {"Id": str(index), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": math.ceil(seconds)}
            for index, (message, seconds) in enumerate(messages.items())
        ]
        url = await self._url()
        answer = await self._transport.call("sqs", "change_message_visibility_batch", QueueUrl=url, Entries=entries)
        if refused := answer.get("Failed"):
            why = {f"{failed.get('Code')}: {failed.get('Message')}" for failed in refused}
            text = f"SQS refused to hide {len(refused)} of {len(entries)} messages of {self._name}"
            raise TransportError(f"{text}: {', '.join(sorted(why))}")

    async def _send(self, bodies: Sequence[str]) -> list[TransportError | None]:
        entries = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        try:
            url = await self._url()
            answer = await self._transport.call("sqs", "send_message_batch", QueueUrl=url, Entries=entries)
        except TransportError as error:
            return [error] * len(bodies)
        outcomes: list[TransportError | None] = [None] * len(bodies)
        for failed in answer.get("Failed", []):
            outcomes[int(failed["Id"])] = refusal(failed, self._name)
        return outcomes

    async def _url(self) -> str:
        return await self._queues.named(self._name)
