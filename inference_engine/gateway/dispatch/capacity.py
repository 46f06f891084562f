"""How much the fleet can take of each label, as flow control needs it. Reads the registry, answers from memory."""

from __future__ import annotations

import asyncio
import logging
import time

from ...aio.single_flight import SingleFlight
from ...deployment import Deployment
from ...errors import InferenceEngineError, TransportError
from ...fleet.view import Fleet, LabelSettings
from ..settings import GatewaySettings
from .flow_control import Room

log = logging.getLogger(__name__)

#: Label settings change only when an operator changes them.
LABELS_SECONDS = 60.0
#: While no caller waits the registry is read this often, to tell whether AWS answers.
IDLE_READ_SECONDS = 30.0
#: A reading that is this late will not come: AWS hangs.
LATE_SECONDS = 15.0
#: A consumer that computes n jobs of a label at once should have another n in hand when those end.
HANDS = 2


class FleetCapacity:
    """The fleet as it was a few seconds ago.

    `fleet` is empty before the first reading.
    """

    def __init__(self, deployment: Deployment, settings: GatewaySettings) -> None:
        self.fleet = Fleet()
        self._deployment = deployment
        self._settings = settings
        self._labels: dict[str, LabelSettings] = {}
        self._labels_at = -LABELS_SECONDS
        self._read_at: float | None = None
        self._failed = False
        self._reading = SingleFlight(self._read)

    @property
    def labels(self) -> dict[str, LabelSettings]:
        """Labels that have settings."""
        return self._labels

    @property
    def answering(self) -> bool:
        """Whether the last reading succeeded and is recent: a later one may be under way and never end."""
        late = IDLE_READ_SECONDS + self._deployment.settings.host_cache_seconds + LATE_SECONDS
        return self._read_at is not None and not self._failed and time.monotonic() - self._read_at < late

    def room(self, label: str) -> Room:
        """How many requests flow control may have on their way.

        While no consumer lives one request goes all the same: its message starts a fleet that is scaled to zero.
        """
        now = time.time()
        if not any(True for _ in self.fleet.live(now)):
            return Room(1, served=False)
        # If no consumer holds the label, one is about to load it.
        holders = max(1, len(self.fleet.holders(label, now)))
        return Room(holders * self._per_holder(label))

    async def fresh(self, seconds: float, *, wait_seconds: float = 0.0) -> None:
        """Read again if the last reading is older than `seconds`, and wait up to `wait_seconds` for it.

        Waits for the first reading as long as it takes. Raises TransportError where there is no reading at all.
        """
        if self._read_at is not None and time.monotonic() - self._read_at < seconds:
            return
        reading = self._reading.begin()
        if self._read_at is not None:
            await asyncio.wait([reading], timeout=wait_seconds)
            return
        await asyncio.wait([reading])
        if error := reading.exception():
            known = isinstance(error, InferenceEngineError)
            raise error if known else TransportError("the registry could not be read") from error

    async def close(self) -> None:
        """End the reading that is under way."""
        await self._reading.close()

    def _per_holder(self, label: str) -> int:
        own = self._labels[label].max_in_flight if label in self._labels else None
        usual = self._settings.in_flight_per_host
        return usual if own is None else min(usual, HANDS * own)

    async def _read(self) -> None:
        try:
            fleet = await self._deployment.registry.whole_fleet(self._deployment.settings.cells)
        except Exception as error:
            self._failed = True
            _not_read("the registry", error)
            raise
        self.fleet = fleet
        self._read_at = time.monotonic()
        self._failed = False
        if time.monotonic() - self._labels_at >= LABELS_SECONDS:
            await self._read_labels()

    async def _read_labels(self) -> None:
        """Read label settings; a failure is logged, since the fleet is known without them, and the next reading tries again."""
        try:
            self._labels = {one.label: one for one in await self._deployment.registry.labels()}
        except Exception as error:
            _not_read("label settings", error)
            return
        self._labels_at = time.monotonic()


def _not_read(what: str, error: Exception) -> None:
    message = f"cannot read {what}, will be retried: %s"
    if isinstance(error, TransportError):
        log.warning(message, error)
    else:
        log.error(message, error, exc_info=error)
