"""Delivers messages from the queue to the receivers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ..errors import DecodeError, InferenceEngineError, TransportError
from ..settings import WebhookSettings
from .breaker import Breaker
from .http import ReceiverAnswer, post
from .queue import WebhookMessage, WebhookQueue
from .rules import Delivery, backoff_seconds, signed_headers, target_of
from .secret import Secret

log = logging.getLogger(__name__)

#: Concurrent requests, as many as a batch has messages.
THREADS = 10
#: The receiver wants no more deliveries at this URL: a retry would be a nuisance.
GONE = 410

_HEADERS = {"Content-Type": "application/json", "User-Agent": "inference-engine", "Connection": "close"}


def delivery_id(message: WebhookMessage) -> str:
    """The id by which the receiver knows a message; the message's own id where it is not a delivery."""
    try:
        return Delivery.decode(message.body).id
    except DecodeError:
        return message.message_id


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome of a batch: `failed` messages come again after their backoff, the others can be deleted."""

    delivered: tuple[WebhookMessage, ...] = ()
    gone: tuple[WebhookMessage, ...] = ()
    failed: tuple[WebhookMessage, ...] = ()

    @property
    def done(self) -> tuple[WebhookMessage, ...]:
        """Messages that can be deleted."""
        return self.delivered + self.gone


class Courier:
    """Delivers messages of the queue in batches. `backoff` maps the tries that a message has had to the seconds to wait."""

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

    async def deliver(self, messages: Sequence[WebhookMessage]) -> DeliveryOutcome:
        """Try each message once; those that fail are hidden for their backoff. An error of one message is not raised.

        Where the breaker puts a receiver off, its try fails without a request, and still counts as a try.
        """
        try:
            keys = await self._secret.keys()
        except InferenceEngineError as error:
            log.error("nothing can be signed: %s", error)
            outcome = DeliveryOutcome(failed=tuple(messages))
        else:
            statuses = await asyncio.gather(*(self._try(message, keys) for message in messages))
            pairs = list(zip(messages, statuses, strict=True))
            outcome = DeliveryOutcome(
                delivered=tuple(message for message, status in pairs if status not in (None, GONE)),
                gone=tuple(message for message, status in pairs if status == GONE),
                failed=tuple(message for message, status in pairs if status is None),
            )
        await self._hide(outcome.failed)
        return outcome

    def close(self) -> None:
        """Release the threads; requests in progress end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _try(self, message: WebhookMessage, keys: Sequence[bytes]) -> int | None:
        """The status of the answer where the message is done with; None where it must be retried."""
        try:
            answer = await self._post(Delivery.decode(message.body), keys)
        except Exception as error:
            # Whatever the error is, the other messages of the batch must be delivered.
            _log_failure(message, f"{type(error).__name__}: {error}")
            return None
        if 200 <= answer.status < 300:
            return answer.status
        _log_failure(message, f"the receiver answered {answer.status} {answer.text!r}")
        return GONE if answer.status == GONE else None

    async def _post(self, delivery: Delivery, keys: Sequence[bytes]) -> ReceiverAnswer:
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
            # They come again after the queue's own visibility timeout.
            log.warning("the backoff of failed deliveries could not be set: %s", error)


def _log_failure(message: WebhookMessage, why: str) -> None:
    """Log with the id in the text: Lambda's own format omits `extra`. The URL is left out: it may hold a receiver's secrets."""
    name = delivery_id(message)
    given = {"delivery": name, "tries": message.tries}
    log.warning("%s not delivered in try %d: %s", name, message.tries, why, extra=given)
