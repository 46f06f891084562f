"""The attributes of a deployment's queues and tables. Terraform declares the same."""

from __future__ import annotations

import json
from typing import Any

from ..settings import Settings

#: SQS Developer Guide, "Amazon SQS message quotas": up to 14 days.
RETENTION_SECONDS = 14 * 24 * 3600
#: A load request that nobody could take for this long is void: another one is sent for its label.
PLACEMENT_RETENTION_SECONDS = 3600
#: Six times the 30 s timeout of the Lambda that reads the dead-letter queue, so that a throttled function may try again
#: (Lambda Developer Guide, "Using Lambda with Amazon SQS").
DEAD_LETTER_VISIBILITY_SECONDS = 6 * 30
#: Six times the 120 s timeout of the Lambda that delivers webhooks, for the same reason.
WEBHOOK_VISIBILITY_SECONDS = 6 * 120
#: All tries of a delivery together take hours (see `webhooks.rules`); a stopped function is noticed within days.
WEBHOOK_RETENTION_SECONDS = 4 * 24 * 3600
#: Tries of a delivery before it is dead-lettered; `webhooks.rules` has the wait after each but the last.
WEBHOOK_TRIES = 10
#: SQS allows 1 MiB; some providers still create queues with 256 KiB.
MESSAGE_MAX_BYTES = 1_048_576

_FIFO = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
    "SqsManagedSseEnabled": "true",
    "MaximumMessageSize": str(MESSAGE_MAX_BYTES),
    "MessageRetentionPeriod": str(RETENTION_SECONDS),
}


def label_queue_attributes(settings: Settings, dead_letter_arn: str) -> dict[str, str]:
    """Attributes of a label's queue."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": settings.max_receive_count}
    return _FIFO | {
        "VisibilityTimeout": str(settings.visibility_timeout_seconds),
        "ReceiveMessageWaitTimeSeconds": str(settings.wait_time_seconds),
        "RedrivePolicy": json.dumps(redrive, separators=(",", ":")),
    }


def dead_letter_queue_attributes(settings: Settings) -> dict[str, str]:
    """Attributes of the dead-letter queue, the same in every deployment."""
    return _FIFO | {"VisibilityTimeout": str(DEAD_LETTER_VISIBILITY_SECONDS)}


def placement_queue_attributes(settings: Settings) -> dict[str, str]:
    """Attributes of a placement queue: see PLACEMENT_RETENTION_SECONDS."""
    return _FIFO | {
        "VisibilityTimeout": str(settings.visibility_timeout_seconds),
        "ReceiveMessageWaitTimeSeconds": str(settings.wait_time_seconds),
        "MessageRetentionPeriod": str(PLACEMENT_RETENTION_SECONDS),
    }


def webhook_queue_attributes(dead_letter_arn: str) -> dict[str, str]:
    """Attributes of the webhook queue, a standard queue: deliveries have no order, and a waiting one delays no other."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": WEBHOOK_TRIES}
    return {
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": str(WEBHOOK_VISIBILITY_SECONDS),
        "MessageRetentionPeriod": str(WEBHOOK_RETENTION_SECONDS),
        "RedrivePolicy": json.dumps(redrive, separators=(",", ":")),
    }


def webhook_dead_queue_attributes() -> dict[str, str]:
    """Attributes of the dead-letter queue of webhooks."""
    return {"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": str(RETENTION_SECONDS)}


def jobs_table(name: str) -> dict[str, Any]:
    """CreateTable parameters of the jobs table; webhooks are made from its stream."""
    return {
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "TableName": name,
        "KeySchema": [{"AttributeName": "message_id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "message_id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def registry_table(name: str) -> dict[str, Any]:
    """CreateTable parameters of the registry: one partition per cell, one for the labels, one per claimed label."""
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


TTL_ATTRIBUTE = "expires_at"
