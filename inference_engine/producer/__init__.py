"""Posts jobs and collects their results."""

from .async_producer import AsyncProducer
from .producer import Producer
from .submission import AsyncSubmission, Submission

__all__ = ["AsyncProducer", "AsyncSubmission", "Producer", "Submission"]
