"""Handles messages on the dead-letter queue: ends their jobs as ERROR, and keeps the messages for redrive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..aws.objects import Blobs
from ..aws.queues import ENTRIES_PER_CALL, Backlog, Queues
from ..aws.schema import DEAD_LETTER_VISIBILITY_SECONDS
from ..aws.transport import Transport
from ..errors import DecodeError
from ..jobs.job import Job, JobFailure
from ..jobs.store import DEAD_LETTERED, JobRecords
from ..labels import dead_letter_queue_name
from ..settings import Settings
from .store import DeadLetter, DeadLetterStore, DeadMessage

log = logging.getLogger(__name__)

#: Limit for the reason why a message is not a job.
REASON_MAX_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Buried:
    """The outcome for dead messages: `dead_letters` are kept, `failed` must be retried, all others are void and deleted."""

    dead_letters: tuple[DeadLetter, ...] = ()
    failed: tuple[DeadMessage, ...] = ()

    def __add__(self, other: Buried) -> Buried:
        return Buried(self.dead_letters + other.dead_letters, self.failed + other.failed)


class DeadLetterHandler:
    """The dead-letter queue of a deployment, and what is kept of its messages."""

    def __init__(
        self, transport: Transport, settings: Settings, queues: Queues, jobs: JobRecords, blobs: Blobs
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._queues = queues
        self._jobs = jobs
        self.store = DeadLetterStore(transport, settings.registry_table, blobs, has_bucket=settings.bucket is not None)

    async def bury(self, messages: Sequence[DeadMessage]) -> Buried:
        """Fail the jobs of some messages and keep these as dead letters. Safe to repeat with the same messages.

        Works in order within a message group. After a failure, the group's later messages are reported as failed without being
        tried, as partial batch responses for a FIFO queue require (Lambda Developer Guide, "Handling errors for an SQS event
        source in Lambda").
        """
        groups: defaultdict[str, list[DeadMessage]] = defaultdict(list)
        for message in messages:
            groups[message.group].append(message)
        return sum(await asyncio.gather(*(self._bury_in_order(group) for group in groups.values())), Buried())

    async def collect(self) -> Buried:
        """Process everything on the dead-letter queue: for deployments without the Lambda that processes it continuously.

        Raises TransportError.
        """
        url = await self._url()
        collected = Buried()
        while messages := await self._receive(url):
            buried = await self.bury(messages)
            collected += buried
            done = [message.receipt_handle for message in messages if message not in buried.failed]
            await self._queues.delete(url, done)
            if not done:
                break
        return collected

    async def waiting(self) -> Backlog:
        """The dead-letter queue's approximate backlog. Raises TransportError."""
        return await self._queues.backlog(await self._url())

    async def _bury_in_order(self, messages: Sequence[DeadMessage]) -> Buried:
        dead_letters: list[DeadLetter] = []
        for index, message in enumerate(messages):
            try:
                dead_letter = await self._bury_one(message)
            except Exception:
                # Whatever the error, only this group's messages are retried.
                log.exception("dead letter not kept", extra={"message_id": message.sent_id})
                return Buried(tuple(dead_letters), tuple(messages[index:]))
            if dead_letter is not None:
                dead_letters.append(dead_letter)
        return Buried(tuple(dead_letters))

    async def _bury_one(self, message: DeadMessage) -> DeadLetter | None:
        """The dead letter for a message; None if its job ended otherwise or was redriven since."""
        count = self._settings.max_receive_count
        try:
            job = Job.decode(message.body)
        except DecodeError as error:
            return await self._keep(
                message, message.sent_id, None, " ".join(str(error).split())[:REASON_MAX_CHARACTERS]
            )
        message_id = job.message_id or message.sent_id
        reason = f"the message was received {count} times (max_receive_count) and no consumer could finish the job"
        # The record first: a dead letter exists only for a job whose end is recorded. After a crash in between, the
        # message comes again.
        if not await self._jobs.bury(message_id, job, JobFailure(type=DEAD_LETTERED, message=reason)):
            log.info(
                "dead letter discarded: its job has ended otherwise or was redriven",
                extra={"message_id": message_id, "label": job.label},
            )
            return None
        return await self._keep(message, message_id, job, reason)

    async def _keep(self, message: DeadMessage, message_id: str, job: Job | None, reason: str) -> DeadLetter:
        dead_letter = DeadLetter(
            message_id=message_id,
            label=job.label if job else None,
            reason=reason,
            received=self._settings.max_receive_count,
            dead_at=time.time(),
            submitted_at=job.submitted_at if job else None,
            queue=message.source,
        )
        dead_letter = await self.store.keep(dead_letter, message.body)
        log.warning(
            "dead-lettered: %s", dead_letter.reason, extra={"message_id": message_id, "label": dead_letter.label}
        )
        return dead_letter

    async def _url(self) -> str:
        return await self._queues.named(dead_letter_queue_name(self._settings.prefix))

    async def _receive(self, url: str) -> list[DeadMessage]:
        answer = await self._transport.call(
            "sqs",
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=ENTRIES_PER_CALL,
            # With a wait, SQS queries all of its servers (Developer Guide, "Short and long polling").
            WaitTimeSeconds=1,
            VisibilityTimeout=DEAD_LETTER_VISIBILITY_SECONDS,
            MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId", "DeadLetterQueueSourceArn"],
        )
        return [DeadMessage.of_answer(message) for message in answer.get("Messages", [])]
