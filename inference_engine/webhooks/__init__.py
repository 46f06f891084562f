"""Webhooks: status changes of jobs, delivered to the jobs' callback URLs. A Lambda runs it, or the local stack.

jobs table ──stream──► Outbox ──► queue {prefix}-webhooks ──► Courier ──POST──► callback URL
"""

from .rules import Delivery, verify

__all__ = ["Delivery", "verify"]
