"""Posts jobs and collects their results."""

from .async_producer import AsyncProducer
from .producer import Producer

__all__ = ["AsyncProducer", "Producer"]
