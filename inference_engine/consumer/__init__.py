"""Takes jobs, computes them and writes their results. Needs the `consumer` extra."""

from .async_consumer import AsyncConsumer
from .consumer import Consumer

__all__ = ["AsyncConsumer", "Consumer"]
