"""Webhooks: status changes of jobs, delivered to the jobs' callback URLs. A Lambda runs it, or the local stack.

jobs table ──stream──► Outbox ──► queue {prefix}-webhooks ──► Courier ──POST──► callback URL
"""

from typing import TYPE_CHECKING, Any

from .. import moved
from .rules import Delivery, verify

if TYPE_CHECKING:
    from .delivery import Courier as Courier
    from .outbox import Outbox as Outbox

__all__ = ["Delivery", "verify"]


def __getattr__(name: str) -> Any:
    return moved.attribute(__name__, name)
