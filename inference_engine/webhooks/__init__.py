"""Webhooks: status changes of jobs, delivered to the jobs' callback URLs. A Lambda runs it, or the local stack.

jobs table ──stream──► Outbox ──► queue {prefix}-webhooks ──► Courier ──POST──► callback URL
"""

from .courier import Courier, Outcome
from .outbox import Outbox
from .secret import Secret

__all__ = ["Courier", "Outbox", "Outcome", "Secret"]
