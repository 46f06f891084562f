"""The deployment at a glance: one reading for all who look, and none while nobody does."""

from __future__ import annotations

import asyncio
import time

from ..aws.activity import read_activity
from ..aws.connect import Aws
from ..overview import Overview

#: What people look at may be so old.
BELIEVED_SECONDS = 2.0
#: And what programs count by: a reading is a request for each label, whoever asks.
COUNTED_SECONDS = 15.0


class Glance:
    """Overviews, each with its rates since the one before."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._last: Overview | None = None
        self._read_at = 0.0
        self._looking = asyncio.Lock()

    async def overview(self, seconds: float = BELIEVED_SECONDS) -> Overview:
        """The deployment as it was so many seconds ago, at most. Raises TransportError."""
        async with self._looking:
            if self._last is None or time.monotonic() - self._read_at >= seconds:
                self._last = (await read_activity(self._aws, sweep_queues=0)).overview(self._last)
                self._read_at = time.monotonic()
            return self._last
