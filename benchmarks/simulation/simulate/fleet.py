"""The library's own consumers and producers on one simulated account, in cells, and their sudden deaths."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

from inference_engine.aws.provision import provision
from inference_engine.consumer import AsyncConsumer
from inference_engine.producer import AsyncProducer
from inference_engine.settings import Settings

from ..aws.account import Account, Connection
from .backend import Durations, SimulatedBackend

#: By the library's design, larger fleets are split into cells of about this many consumers.
CONSUMERS_PER_CELL = 50

Calls = Counter[tuple[str, str]]


class SimulatedFleet:
    """Consumers with `slots` labels each, and one producer per cell, all with production settings.

    `loads` lists the label of every load in order; `consumer_calls` and `producer_calls` count AWS requests by operation and
    subject.
    """

    def __init__(self, *, consumers: int, slots: int, durations: Durations, account: Account | None = None) -> None:
        self.account = account or Account()
        self.slots = slots
        self.durations = durations
        self.cells = math.ceil(consumers / CONSUMERS_PER_CELL)
        self.loads: list[str] = []
        self.consumer_calls: Calls = Counter()
        self.producer_calls: Calls = Counter()
        self.producers: list[AsyncProducer] = []
        self._alive: dict[int, tuple[AsyncConsumer, SimulatedBackend, Connection]] = {}

    def settings(self, cell: int = 0) -> Settings:
        """Production settings, in one of the cells."""
        return Settings(prefix="simulated", cells=self.cells, cell=cell)

    async def provision(self) -> None:
        """Queues, tables and producers."""
        aws, _ = self.account.connect(self.settings())
        await provision(aws.transport, self.settings())
        self.producers = [
            AsyncProducer(
                self.settings(), connect=lambda settings: self.account.connect(settings, self.producer_calls)[0]
            )
            for _ in range(self.cells)
        ]

    async def join(self, number: int) -> None:
        """Start consumer `number`; its cell follows from that."""
        settings = self.settings(number % self.cells)
        aws, connection = self.account.connect(settings, self.consumer_calls)
        backend = SimulatedBackend(self.durations, self.loads.append)
        consumer = AsyncConsumer(
            settings,
            backend=backend,
            max_labels=self.slots,
            consumer_id=f"consumer-{number:04d}",
            connect=lambda _: aws,
        )
        self._alive[number] = (consumer, backend, connection)
        await consumer.start()

    def kill(self, number: int) -> None:
        """Do what SIGKILL does to consumer `number`."""
        _, backend, connection = self._alive.pop(number)
        connection.cut()
        backend.kill()

    def kill_all(self) -> None:
        """End the simulation."""
        for number in list(self._alive):
            self.kill(number)

    @property
    def alive(self) -> list[int]:
        """The numbers of the running consumers."""
        return sorted(self._alive)

    async def join_within(self, numbers: range, seconds: float) -> None:
        """Start consumers one after the other, evenly over `seconds`, as a fleet comes up."""
        starts = []
        for number in numbers:
            starts.append(asyncio.create_task(self.join(number)))
            await asyncio.sleep(seconds / len(numbers))
        await asyncio.gather(*starts)
