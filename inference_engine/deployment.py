"""Assembles the parts of `aws/` for a producer or a consumer."""

from __future__ import annotations

from dataclasses import dataclass

from .api_keys import ApiKeys
from .aws.objects import Blobs
from .aws.queues import Queues
from .aws.transport import BRIEF, SHORT, AioTransport, ThreadTransport, Transport, aio_available
from .dead_letters.handler import DeadLetterHandler
from .dead_letters.redrive import Redriver
from .fleet.load_requests import LoadRequests, WaitingLabels
from .fleet.registry import Registry
from .jobs.store import JobRecords
from .settings import Settings

#: Connections for long polls: one for each label that a consumer holds or has just given up, and one for the placement queue.
POLL_CONNECTIONS = 256


@dataclass(slots=True)
class Deployment:
    """Everything in AWS that one producer or consumer uses.

    `polls` has its own connections: a long poll keeps one for up to twenty seconds, and no delete or heartbeat may wait for it.
    """

    settings: Settings
    transport: Transport
    queues: Queues
    polls: Queues
    jobs: JobRecords
    registry: Registry
    blobs: Blobs
    waiting: WaitingLabels
    load_requests: LoadRequests
    load_polls: LoadRequests
    dead_letters: DeadLetterHandler
    api_keys: ApiKeys
    _poll_transport: Transport | None = None

    @classmethod
    def for_producer(cls, settings: Settings, *, threads: bool = False) -> Deployment:
        """One transport for all calls: boto3 threads, or aioboto3 if `threads` is false and the extra is installed."""
        transport: Transport
        if threads or not aio_available():
            transport = ThreadTransport(region=settings.region)
        else:
            transport = AioTransport(region=settings.region)
        return cls.over(settings, transport)

    @classmethod
    def for_function(cls, settings: Settings) -> Deployment:
        """For a Lambda: boto3 threads that give up early, since its time is short and it is invoked again."""
        return cls.over(settings, ThreadTransport(region=settings.region, retries=SHORT))

    @classmethod
    def for_command(cls, settings: Settings) -> Deployment:
        """For a command at a terminal: boto3 threads, which need no extra, that give up within seconds."""
        return cls.over(settings, ThreadTransport(region=settings.region, retries=BRIEF))

    @classmethod
    def for_consumer(cls, settings: Settings) -> Deployment:
        """Two transports on the running loop: one for control, one for long polls."""
        polls = AioTransport(region=settings.region, connections=POLL_CONNECTIONS)
        return cls.over(settings, AioTransport(region=settings.region), polls)

    @classmethod
    def over(cls, settings: Settings, transport: Transport, poll_transport: Transport | None = None) -> Deployment:
        """Everything over the caller's own transports; long polls share the first one if there is no second."""
        queues = Queues(transport, settings)
        polls = Queues(poll_transport, settings) if poll_transport else queues
        waiting = WaitingLabels(transport, settings.registry_table)
        jobs = JobRecords(transport, settings.jobs_table, settings.result_ttl_seconds)
        blobs = Blobs(transport, settings.bucket, settings.payload_max_bytes)
        return cls(
            settings=settings,
            transport=transport,
            queues=queues,
            polls=polls,
            jobs=jobs,
            registry=Registry(transport, settings.registry_table, settings.cell),
            blobs=blobs,
            waiting=waiting,
            load_requests=LoadRequests(queues, waiting, settings),
            load_polls=LoadRequests(polls, waiting, settings),
            dead_letters=DeadLetterHandler(transport, settings, queues, jobs, blobs),
            api_keys=ApiKeys(transport, settings.registry_table),
            _poll_transport=poll_transport,
        )

    def redriver(self) -> Redriver:
        """For an operator's command: it reads each label's lanes once."""
        return Redriver(
            self.dead_letters.store, self.jobs, self.queues, self.registry, self.load_requests, self.settings.prefix
        )

    async def close(self) -> None:
        """Finish pending sends and writes, then close all connections. If this is cancelled, they are closed all the same."""
        try:
            await self.queues.close()
            await self.jobs.close()
        finally:
            await self.transport.close()
            if self._poll_transport is not None:
                await self._poll_transport.close()
