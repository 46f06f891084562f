"""Jobs for more ML models than you have memory, routed over SQS FIFO to the consumer that has the model loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, moved
from .aws.parameters import deployed_settings
from .errors import InferenceEngineError, UnretryableError, needs
from .jobs.job import JobFailure, Response, ResultStatus
from .producer import AsyncProducer, AsyncSubmission, Producer, Submission
from .settings import Settings
from .single_queue import DynamoDBClient

if TYPE_CHECKING:
    from .consumer import AsyncConsumer, Consumer

__version__ = "0.1.0"

moved.keep_importable()

__all__ = [
    "AsyncConsumer",
    "AsyncProducer",
    "AsyncSubmission",
    "Consumer",
    "DynamoDBClient",
    "InferenceEngineError",
    "JobFailure",
    "Producer",
    "Response",
    "ResultStatus",
    "Settings",
    "Submission",
    "UnretryableError",
    "deployed_settings",
    "errors",
]


def __getattr__(name: str) -> Any:
    # Consumers need the `consumer` extra, which an application that only posts does not install.
    if name in ("AsyncConsumer", "Consumer"):
        with needs("consumer"):
            from . import consumer
        return getattr(consumer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
