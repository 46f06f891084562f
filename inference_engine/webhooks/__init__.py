"""Webhooks: changes of jobs' status, delivered to the URLs that the jobs carry. A Lambda runs it, or the local stack.

jobs table ──stream──► Outbox ──► queue {prefix}-webhooks ──► Courier ──POST──► callback URL
"""

from .courier import Courier, Outcome
from .outbox import Outbox
from .secret import Secret

__all__ = ["Courier", "Outbox", "Outcome", "Secret"]
