"""Flow control: who of those that wait may go next. One asyncio task, no locks, no I/O.

For each label apart there are three tiers: bands by priority; owners, and each owner's flows, that get equal turns inside a
band; and an order inside a flow. A label whose consumers have enough to do is *saturated*: none of its requests is dispatched, of
whatever band, while those of other labels go on.
"""

from .controller import FlowController
from .limits import Limits, Outcome, Refused, Room
from .permit import Permit

__all__ = ["FlowController", "Limits", "Outcome", "Permit", "Refused", "Room"]
