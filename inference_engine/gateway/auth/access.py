"""Who may call: API keys, how callers present them, and how often each may be used.

Keys are read from AWS by id and cached for a while: a request costs no call to AWS, a revoked key works for half a minute at
most, and callers with good keys are still served while AWS does not answer.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ...aio.bounded_dict import BoundedDict
from ...aio.single_flight import SingleFlightGroup
from ...api_keys import ApiKey, ApiKeys, digest_of, parse
from ...errors import TransportError
from ..http.paths import PUBLIC_PATHS
from ..http.problems import Problem, later
from .caller import Caller

log = logging.getLogger(__name__)

#: A key is read again once its last reading is this old, which is also how long a revoked key may keep working.
FRESH_SECONDS = 30.0
#: While AWS does not answer, a key that was good is used for this much longer.
STALE_SECONDS = 300.0
#: An unknown id is not looked up again for this long; short, because the key may be created the next moment.
MISSING_SECONDS = 5.0
#: While AWS does not answer, a key is looked up again this often.
AGAIN_SECONDS = 5.0
#: How long a request waits for AWS when an old answer is at hand, and when none is.
READ_WAIT_WITH_KNOWN_SECONDS = 2.0
READ_WAIT_SECONDS = 10.0
#: How many ids are remembered, of keys and, separately, of unknown keys: guessed ids fill only the second set.
REMEMBERED = 10_000
#: How many reads of new ids may be under way at once: guessed ids must not take all connections to AWS.
STRANGERS_AT_ONCE = 8
#: How many such reads may be under way or waiting; further callers are told to retry, before guessed ids fill memory and time.
STRANGERS_MAX = 64


class TokenBucket:
    """Lets through `rate` requests a second, and `burst` at once after a rest: in any t seconds at most rate · t + burst."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()

    def take(self) -> float:
        """Take one token: 0.0 where there was one, else the seconds until there will be."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0


@dataclass(slots=True)
class _Known:
    """A key as it was read at `read_at`; AWS is asked again from `again_at` on."""

    key: ApiKey
    bucket: TokenBucket | None
    read_at: float
    again_at: float


class Access:
    """Callers by their API keys; without `keys`, everyone is the same caller, who may do everything."""

    def __init__(
        self,
        keys: ApiKeys | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._wall_clock = wall_clock
        self._known: BoundedDict[str, _Known] = BoundedDict(REMEMBERED)
        self._missing: BoundedDict[str, float] = BoundedDict(REMEMBERED)
        # A read of an unknown id ends with its last request; the answer for a known key serves later requests.
        self._strangers: SingleFlightGroup[str, None] = SingleFlightGroup(cancel_unwanted=True)
        self._renewals: SingleFlightGroup[str, None] = SingleFlightGroup()
        self._strangers_at_once = asyncio.Semaphore(STRANGERS_AT_ONCE)

    @classmethod
    def open(cls) -> Access:
        """Access for everyone: for gateways that only this machine can reach."""
        return cls(None)

    @property
    def required(self) -> bool:
        """Whether callers need a key."""
        return self._keys is not None

    async def caller(self, headers: Headers) -> Caller:
        """The caller that sends these headers.

        Raises Problem: 401 without a good key, 429 beyond the key's rate, 503 where AWS does not tell whether the key is good.
        """
        if self._keys is None:
            return Caller()
        key_id, secret = _presented(headers)
        known = await self._lookup(self._keys, key_id)
        _check(known.key if known else None, secret, self._wall_clock())
        assert known is not None
        if known.bucket is not None and (wait := known.bucket.take()):
            raise later(429, "rate-limited", f"this API key may send {known.bucket.rate:g} requests a second", wait)
        key = known.key
        return Caller(key.key_id, key.name, key.labels, key.priority, key.operator)

    async def _lookup(self, keys: ApiKeys, key_id: str) -> _Known | None:
        now = self._clock()
        if self._missing.get(key_id, now) > now:
            return None
        known = self._known.get(key_id)
        if known is None or known.again_at <= now:
            await self._refresh(keys, key_id, known, now)
            known = self._known.get(key_id)
        if known is not None:
            self._known.move_to_end(key_id)
        return known

    async def _refresh(self, keys: ApiKeys, key_id: str, known: _Known | None, now: float) -> None:
        """Read a key again; a known one may remain in use unchanged for a while. Raises Problem 503."""
        usable_until = known.read_at + FRESH_SECONDS + STALE_SECONDS if known else now
        wait_seconds = READ_WAIT_WITH_KNOWN_SECONDS if now < usable_until else READ_WAIT_SECONDS
        try:
            async with asyncio.timeout(wait_seconds):
                await self._read(keys, key_id, known is None)
        except (TransportError, TimeoutError) as error:
            if known is None or now >= usable_until:
                log.error("API key %s cannot be looked up: %s", key_id, error, extra={"key_id": key_id})
                raise _unavailable() from error
            log.warning(
                "API key %s cannot be looked up, its last known row is used: %s",
                key_id,
                error,
                extra={"key_id": key_id},
            )
            known.again_at = min(now + AGAIN_SECONDS, usable_until)

    async def _read(self, keys: ApiKeys, key_id: str, stranger: bool) -> None:
        """Wait for the read of an id that is under way, or start one. Raises Problem 503 where too many strangers are read."""
        if not stranger:
            await self._renewals.get(key_id, lambda: self._ask(keys, key_id))
            return
        if key_id not in self._strangers and len(self._strangers) >= STRANGERS_MAX:
            raise _unavailable()
        await self._strangers.get(key_id, lambda: self._ask_in_turn(keys, key_id))

    async def _ask_in_turn(self, keys: ApiKeys, key_id: str) -> None:
        async with self._strangers_at_once:
            await self._ask(keys, key_id)

    async def _ask(self, keys: ApiKeys, key_id: str) -> None:
        key = await keys.get(key_id)
        now = self._clock()
        if key is None:
            self._known.pop(key_id, None)
            self._missing[key_id] = now + MISSING_SECONDS
            return
        self._missing.pop(key_id, None)
        before = self._known.get(key_id)
        bucket = _bucket(key, before.bucket if before else None, self._clock)
        self._known[key_id] = _Known(key, bucket, now, now + FRESH_SECONDS)


def _unavailable() -> Problem:
    return later(503, "keys-unavailable", "API keys cannot be looked up now", AGAIN_SECONDS)


class KeyGuard:
    """Admits only callers with good keys, before any of the body is read, and stores the caller as `request.state.caller`."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS:
            try:
                caller = await self._access.caller(Headers(scope=scope))
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
            scope.setdefault("state", {}).update(caller=caller, key_id=caller.key_id)
        await self._app(scope, receive, send)


def _presented(headers: Headers) -> tuple[str, str]:
    """Id and secret of the key among the headers. Raises Problem 401."""
    given = {value.strip() for value in headers.getlist("x-api-key")}
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            given.add(credentials.strip())
    if not given:
        raise _unauthorized("an API key is needed: send 'Authorization: Bearer ie_…' or 'X-API-Key: ie_…'", "")
    if len(given) > 1:
        raise _unauthorized("the request carries different API keys; send one")
    if (parts := parse(given.pop())) is None:
        raise _unauthorized("the API key is not of the form ie_<id>_<secret>")
    return parts


#: An unknown key is compared with this, so that checking it takes as long as checking a known one.
_NO_DIGEST = digest_of("")


def _check(key: ApiKey | None, secret: str, now: float) -> None:
    """Raises Problem 401 where the secret is not the key's, or the key has expired."""
    right = hmac.compare_digest(digest_of(secret), key.digest if key else _NO_DIGEST)
    if key is None or not right:
        raise _unauthorized("no such API key; it may have been revoked")
    if key.expired(now):
        raise _unauthorized("the API key has expired")


def _unauthorized(detail: str, reason: str = ', error="invalid_token"') -> Problem:
    """Problem 401; `reason` is absent where no key was sent (RFC 6750, 3.1)."""
    return Problem(
        401, "unauthorized", detail, headers={"WWW-Authenticate": f'Bearer realm="inference-engine"{reason}'}
    )


def _bucket(key: ApiKey, before: TokenBucket | None, clock: Callable[[], float]) -> TokenBucket | None:
    """The bucket of a key; the previous one, with the tokens left in it, where the key's rate has not changed."""
    if key.rate is None:
        return None
    if before is not None and (before.rate, before.burst) == (key.rate, key.burst):
        return before
    return TokenBucket(key.rate, key.burst, clock)
