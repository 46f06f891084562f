"""From the queue to the receivers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ..aws.webhook_queue import WebhookMessage, WebhookQueue
from ..callbacks import Delivery, backoff_seconds, signed_headers, target_of
from ..errors import DecodeError, InferenceEngineError, TransportError
from ..settings import WebhookSettings
from .breaker import Breaker
from .http import Answer, post
from .secret import Secret

log = logging.getLogger(__name__)

#: Requests under way at once; a batch has as many messages.
THREADS = 10
#: The receiver wants nothing more at this URL: trying again would be an annoyance.
GONE = 410

_HEADERS = {"Content-Type": "application/json", "User-Agent": "inference-engine", "Connection": "close"}


def delivery_id(message: WebhookMessage) -> str:
    """What the receiver knows a message as; the message's own id where it is no delivery."""
    try:
        return Delivery.decode(message.body).id
    except DecodeError:
        return message.message_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch: `failed` messages come again, after their backoff, the others are to be deleted."""

    delivered: tuple[WebhookMessage, ...] = ()
    gone: tuple[WebhookMessage, ...] = ()
    failed: tuple[WebhookMessage, ...] = ()

    @property
    def done(self) -> tuple[WebhookMessage, ...]:
        """Messages that are not needed any more."""
        return self.delivered + self.gone


class Courier:
    """Delivers messages of the queue, a batch at once. `backoff` is told the tries that a message has had."""

    def __init__(
        self,
        queue: WebhookQueue,
        secret: Secret,
        settings: WebhookSettings,
        *,
        backoff: Callable[[int], float] = backoff_seconds,
    ) -> None:
        self._queue = queue
        self._secret = secret
        self._settings = settings
        self._backoff = backoff
        self._breaker = Breaker()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="inference-engine-webhooks")

    async def deliver(self, messages: Sequence[WebhookMessage]) -> Outcome:
        """Try each message once; those that failed are hidden for their backoff. Raises nothing for one message's sake.

        Where a receiver is put off, its try fails without a request, and counts as one.
        """
        try:
            keys = await self._secret.keys()
        except InferenceEngineError as error:
            log.error("nothing can be signed: %s", error)
            outcome = Outcome(failed=tuple(messages))
        else:
            statuses = await asyncio.gather(*(self._try(message, keys) for message in messages))
            pairs = list(zip(messages, statuses, strict=True))
            outcome = Outcome(
                delivered=tuple(message for message, status in pairs if status not in (None, GONE)),
                gone=tuple(message for message, status in pairs if status == GONE),
                failed=tuple(message for message, status in pairs if status is None),
            )
        await self._hide(outcome.failed)
        return outcome

    def close(self) -> None:
        """Let go of the threads; requests under way end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _try(self, message: WebhookMessage, keys: Sequence[bytes]) -> int | None:
        """The status of a receiver that is done with the message; None where it must be tried again."""
        try:
            answer = await self._post(Delivery.decode(message.body), keys)
        except Exception as error:
            # Whatever it is, the others of the batch are delivered.
            _log_failure(message, f"{type(error).__name__}: {error}")
            return None
        if 200 <= answer.status < 300:
            return answer.status
        _log_failure(message, f"the receiver answered {answer.status} {answer.text!r}")
        return GONE if answer.status == GONE else None

    async def _post(self, delivery: Delivery, keys: Sequence[bytes]) -> Answer:
        body = delivery.payload.encode("ascii")
        request = partial(
            post,
            delivery.url,
            _HEADERS | signed_headers(delivery.id, body, keys),
            body,
            timeout_seconds=self._settings.timeout_seconds,
            allow_private=self._settings.allow_private,
        )
        with self._breaker.asking(target_of(delivery.url, allow_private=self._settings.allow_private)):
            return await asyncio.get_running_loop().run_in_executor(self._pool, request)

    async def _hide(self, messages: Sequence[WebhookMessage]) -> None:
        try:
            await self._queue.hide({message: self._backoff(message.tries) for message in messages})
        except TransportError as error:
            # They come again when the queue's own visibility timeout is over.
            log.warning("the backoff of failed deliveries is not set: %s", error)


def _log_failure(message: WebhookMessage, why: str) -> None:
    """By the message's id, in the text itself: Lambda's own format leaves `extra` out. Its URL may hold a receiver's secrets."""
    name = delivery_id(message)
    given = {"delivery": name, "tries": message.tries}
    log.warning("%s not delivered in try %d: %s", name, message.tries, why, extra=given)
