"""Flow control: decides which of the waiting requests goes next. One asyncio task, no locks, no I/O.

Each label has three tiers: bands by priority; equal turns within a band for owners, and for each owner's flows; and an order
within a flow. A label whose consumers have enough to do is *saturated*: none of its requests is dispatched, whatever their
band, while those of other labels continue.
"""

from .controller import FlowController
from .limits import Limits, NotDispatched, Room, WaitOutcome
from .queues import Permit

__all__ = ["FlowController", "Limits", "NotDispatched", "Permit", "Room", "WaitOutcome"]
