"""The deployment at a glance: one reading for all viewers, and none while there are no viewers."""

from __future__ import annotations

from ...aio.single_flight import SingleFlight
from ...deployment import Deployment
from ...operations.activity import read_activity
from ...operations.overview import Overview

#: How old an overview for people may be.
BELIEVED_SECONDS = 2.0
#: How old one for programs may be: each reading costs a request for each label.
COUNTED_SECONDS = 15.0


class SharedOverview:
    """Overviews, each with its rates since the one before.

    A caller may leave before a large deployment is read: the overview is then there for the next caller.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._overviews = SingleFlight(self._read)

    async def overview(self, seconds: float = BELIEVED_SECONDS) -> Overview:
        """The deployment as it was at most this many seconds ago. Raises TransportError."""
        return await self._overviews.get(seconds)

    async def close(self) -> None:
        """End the reading that is under way."""
        await self._overviews.close()

    async def _read(self) -> Overview:
        return (await read_activity(self._deployment, sweep_queues=0)).overview(self._overviews.value)
