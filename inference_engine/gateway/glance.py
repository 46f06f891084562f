"""The deployment at a glance: one reading for all who look, and none while nobody does."""

from __future__ import annotations

from ..aws.activity import read_activity
from ..aws.connect import Aws
from ..overview import Overview
from ..shared_read import SharedRead

#: What people look at may be so old.
BELIEVED_SECONDS = 2.0
#: And what programs count by: a reading is a request for each label, whoever asks.
COUNTED_SECONDS = 15.0


class Glance:
    """Overviews, each with its rates since the one before.

    Who looks may leave before a large deployment is read: the overview is there for the next look.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._overviews = SharedRead(self._read)

    async def overview(self, seconds: float = BELIEVED_SECONDS) -> Overview:
        """The deployment as it was so many seconds ago, at most. Raises TransportError."""
        return await self._overviews.get(seconds)

    async def close(self) -> None:
        """End the reading that is under way."""
        await self._overviews.close()

    async def _read(self) -> Overview:
        return (await read_activity(self._aws, sweep_queues=0)).overview(self._overviews.value)
