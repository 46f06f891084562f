"""Jobs for more ML models than you have memory, routed over SQS FIFO to the consumer that has the model loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from .aws.client import DynamoDBClient
from .aws.parameters import deployed_settings
from .errors import InferenceEngineError, UnretryableError, needs
from .jobs.job import JobFailure, Response, ResultStatus
from .producer import AsyncProducer, Producer
from .settings import Settings

if TYPE_CHECKING:
    from .consumer import AsyncConsumer, Consumer

__version__ = "0.1.0"

__all__ = [
    "AsyncConsumer",
    "AsyncProducer",
    "Consumer",
    "DynamoDBClient",
    "InferenceEngineError",
    "JobFailure",
    "Producer",
    "Response",
    "ResultStatus",
    "Settings",
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
