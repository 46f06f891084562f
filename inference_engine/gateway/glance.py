"""The deployment at a glance: one reading for all who look, and none while nobody does."""

from __future__ import annotations

import asyncio
import time

from ..aws.activity import read_activity
from ..aws.connect import Aws
from ..overview import Overview

#: What people look at may be so old.
BELIEVED_SECONDS = 2.0


class Glance:
    """Overviews, each with its rates since the one before."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._last: Overview | None = None
        self._looking = asyncio.Lock()

    async def overview(self) -> Overview:
        """The deployment as it was a moment ago. Raises TransportError."""
        async with self._looking:
            if self._last is None or time.time() - self._last.at >= BELIEVED_SECONDS:
                self._last = (await read_activity(self._aws, sweep_queues=0)).overview(self._last)
            return self._last
