"""The operations of SQS over queues in memory, with the parameters, answers and error codes of its API."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

from botocore.exceptions import ClientError

from .queues import RECEIVE_MAX, Message, Queue

_ARN = "arn:aws:sqs:memory:000000000000:"
_Answer = dict[str, Any]


def refusal(operation: str, code: str, message: str) -> ClientError:
    """What botocore raises when AWS answers with an error."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class QueueService:
    """All queues of an account; every public method is an operation, named as boto3 names it. URLs are names."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}

    def create_queue(self, *, QueueName: str, Attributes: dict[str, str]) -> _Answer:
        """Make a queue, unless it exists with the same attributes."""
        queue = self._queues.get(QueueName)
        if queue is None:
            queue = self._queues[QueueName] = Queue(QueueName, Attributes)
            if policy := Attributes.get("RedrivePolicy"):
                fields = json.loads(policy)
                queue.dead_letters = self._queues[fields["deadLetterTargetArn"].removeprefix(_ARN)]
                queue.max_receive_count = int(fields["maxReceiveCount"])
        elif queue.attributes != Attributes:
            raise refusal("CreateQueue", "QueueAlreadyExists", f"{QueueName} has other attributes")
        return {"QueueUrl": QueueName}

    def delete_queue(self, *, QueueUrl: str) -> _Answer:
        """Forget a queue and its messages."""
        self._queue("DeleteQueue", QueueUrl)
        del self._queues[QueueUrl]
        return {}

    def get_queue_url(self, *, QueueName: str) -> _Answer:
        """The URL of a queue; an error if it does not exist."""
        self._queue("GetQueueUrl", QueueName)
        return {"QueueUrl": QueueName}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> _Answer:
        """Attributes and exact values of the counts that AWS approximates."""
        queue = self._queue("GetQueueAttributes", QueueUrl)
        known = queue.attributes | {
            "QueueArn": _ARN + queue.name,
            "ApproximateNumberOfMessages": str(queue.visible),
            "ApproximateNumberOfMessagesNotVisible": str(queue.in_flight),
        }
        wanted = known if AttributeNames == ["All"] else AttributeNames
        return {"Attributes": {name: known[name] for name in wanted if name in known}}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> _Answer:
        """Append messages in order; a repetition of an earlier message gets that message's id."""
        queue = self._queue("SendMessageBatch", QueueUrl)
        sent = [
            {
                "Id": entry["Id"],
                "MessageId": queue.send(entry["MessageBody"], entry["MessageGroupId"], entry["MessageDeduplicationId"]),
            }
            for entry in Entries
        ]
        queue.offer()
        return {"Successful": sent}

    def receive_message(
        self,
        *,
        QueueUrl: str,
        VisibilityTimeout: int,
        WaitTimeSeconds: int = 0,
        MaxNumberOfMessages: int = RECEIVE_MAX,
        **_: Any,
    ) -> Coroutine[Any, Any, _Answer]:
        """Messages, after a long poll; system attributes are always given."""
        return _receive(
            self._queue("ReceiveMessage", QueueUrl), MaxNumberOfMessages, WaitTimeSeconds, VisibilityTimeout
        )

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> _Answer:
        """Delete messages from the queue."""
        queue = self._queue("DeleteMessageBatch", QueueUrl)
        return _batch_answer({entry["Id"]: queue.delete(entry["ReceiptHandle"]) for entry in Entries})

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> _Answer:
        """Change the visibility timeouts of received messages."""
        queue = self._queue("ChangeMessageVisibilityBatch", QueueUrl)
        return _batch_answer(
            {entry["Id"]: queue.hide(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in Entries}
        )

    def _queue(self, operation: str, name: str) -> Queue:
        if name not in self._queues:
            raise refusal(operation, "AWS.SimpleQueueService.NonExistentQueue", f"no queue {name}")
        return self._queues[name]


async def _receive(queue: Queue, most: int, wait_seconds: float, visibility_seconds: float) -> _Answer:
    messages = await queue.receive(most, wait_seconds, visibility_seconds)
    return {"Messages": [_received(message) for message in messages]} if messages else {}


def _received(message: Message) -> _Answer:
    return {
        "MessageId": message.message_id,
        "Body": message.body,
        "ReceiptHandle": message.receipt,
        "Attributes": {
            "ApproximateReceiveCount": str(message.receive_count),
            "MessageGroupId": message.group,
            "SentTimestamp": str(int(message.sent_at * 1000)),
        },
    }


def _batch_answer(done: dict[str, bool]) -> _Answer:
    failed = [
        {"Id": name, "Code": "ReceiptHandleIsInvalid", "SenderFault": True} for name, well in done.items() if not well
    ]
    return {"Successful": [{"Id": name} for name, well in done.items() if well], "Failed": failed}
