"""Posting jobs and collecting results."""

from .async_producer import AsyncProducer
from .producer import Producer

__all__ = ["AsyncProducer", "Producer"]
