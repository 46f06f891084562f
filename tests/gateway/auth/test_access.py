"""API keys: what is accepted, what is remembered, what happens while AWS does not answer, how often a key may be used."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inference_engine.api_keys import ApiKey, ApiKeys, digest_of, parse
from inference_engine.errors import TransportError
from inference_engine.gateway.auth import access as module
from inference_engine.gateway.auth.access import Access, KeyGuard, TokenBucket
from inference_engine.gateway.auth.caller import Caller
from inference_engine.gateway.http.paths import PUBLIC_PATHS
from inference_engine.gateway.http.problems import Problem
from tests.support.serving import connection, serving
from tests.support.waiting import turns

SECRET = "s" * 42 + "-"
OTHER = "t" * 43


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Keys(ApiKeys):
    """Keys in memory: counts reads, and holds or fails them as told."""

    def __init__(self, *keys: ApiKey) -> None:
        self.rows = {key.key_id: key for key in keys}
        self.reads: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.failure: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def get(self, key_id: str) -> ApiKey | None:
        self.reads.append(key_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.answers.wait()
        finally:
            self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        return self.rows.get(key_id)


def a_key(key_id: str = "a" * 10, **fields: object) -> ApiKey:
    given = {"key_id": key_id, "digest": digest_of(SECRET), "name": "team", "created_at": 0.0}
    return ApiKey.model_validate(given | fields)


def bearer(key_id: str = "a" * 10, secret: str = SECRET) -> Headers:
    return Headers({"Authorization": f"Bearer ie_{key_id}_{secret}"})


def access_to(keys: Keys, clock: Clock) -> Access:
    return Access(keys, clock=clock, wall_clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def refusal(access: Access, headers: Headers) -> Problem:
    with pytest.raises(Problem) as caught:
        await access.caller(headers)
    return caught.value


# --- who -----------------------------------------------------------------------------------------------------------------


async def test_a_key_is_its_caller(clock: Clock) -> None:
    key = a_key(labels=("red", "b-*"), priority=-5, operator=True)
    caller = await access_to(Keys(key), clock).caller(bearer())
    assert caller == Caller("a" * 10, "team", ("red", "b-*"), -5, True)
    assert [caller.allows(label) for label in ("red", "b-1", "blue")] == [True, True, False]


async def test_without_keys_everyone_may_do_everything() -> None:
    caller = await Access.open().caller(Headers({"X-API-Key": "whatever"}))
    assert caller == Caller()
    assert caller.operator
    assert not Access.open().required


@pytest.mark.parametrize(
    "lines",
    [
        [("X-API-Key", "K")],
        [("authorization", "bearer K")],
        [("Authorization", "Bearer   K ")],
        [("Authorization", "Bearer K"), ("X-API-Key", "K")],
        [("Authorization", "Basic dXNlcjpwYXNz"), ("X-API-Key", "K")],
    ],
)
async def test_ways_to_send_a_key(clock: Clock, lines: list[tuple[str, str]]) -> None:
    headers = headers_of(lines, f"ie_{'a' * 10}_{SECRET}")
    assert (await access_to(Keys(a_key()), clock).caller(headers)).name == "team"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("Authorization", "K")],
        [("Authorization", "Basic K")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer K K")],
        [("Authorization", "Bearer Kx")],
        [("X-API-Key", "")],
        [("X-API-Key", "ie_short_short")],
        [("X-API-Key", "K"), ("X-API-Key", "other")],
        [("X-API-Key", "K"), ("Authorization", "Bearer other")],
        [("Cookie", "key=K")],
    ],
)
async def test_what_is_no_key_is_refused_unread(clock: Clock, lines: list[tuple[str, str]]) -> None:
    keys = Keys(a_key())
    problem = await refusal(access_to(keys, clock), headers_of(lines, f"ie_{'a' * 10}_{SECRET}"))
    assert problem.status == 401
    assert problem.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert SECRET not in problem.detail
    assert keys.reads == []


def headers_of(lines: Iterable[tuple[str, str]], key: str) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.replace("K", key).encode()) for name, value in lines])


async def test_an_unknown_id_and_a_wrong_secret_are_told_apart_by_nobody(clock: Clock) -> None:
    access = access_to(Keys(a_key()), clock)
    wrong = await refusal(access, bearer(secret=OTHER))
    unknown = await refusal(access, bearer("b" * 10))
    assert wrong.body() == unknown.body()
    assert wrong.headers == unknown.headers


async def test_an_unknown_key_is_compared_like_a_known_one(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def seen(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", seen)
    access = access_to(Keys(a_key()), clock)
    await refusal(access, bearer("b" * 10))
    await access.caller(bearer())
    await refusal(access, bearer(secret=OTHER))
    assert compared == [(64, 64)] * 3


async def test_no_secret_fits_a_key_that_is_not_there(clock: Clock) -> None:
    assert (await refusal(access_to(Keys(), clock), bearer())).status == 401


async def test_an_expired_key_is_told_so_only_to_its_owner(clock: Clock) -> None:
    access = access_to(Keys(a_key(expires_at=clock.now + 10)), clock)
    await access.caller(bearer())
    clock.now += 10
    assert "expired" in (await refusal(access, bearer())).detail
    assert "expired" not in (await refusal(access, bearer(secret=OTHER))).detail


@given(st.text() | st.from_regex(r"ie_[a-z0-9]{9,11}_[A-Za-z0-9_-]{42,44}"))
def test_only_keys_are_keys(text: str) -> None:
    parts = parse(text)
    assert parts is None or (f"ie_{parts[0]}_{parts[1]}" == text and len(parts[0]) == 10 and len(parts[1]) == 43)


# --- what is remembered --------------------------------------------------------------------------------------------------


async def test_a_key_is_read_once_in_a_while(clock: Clock) -> None:
    keys = Keys(a_key())
    access = access_to(keys, clock)
    for _ in range(3):
        await access.caller(bearer())
    clock.now += module.FRESH_SECONDS - 1
    await access.caller(bearer())
    assert len(keys.reads) == 1
    clock.now += 1
    await access.caller(bearer())
    assert len(keys.reads) == 2


async def test_a_revoked_key_works_no_longer_than_it_is_fresh(clock: Clock) -> None:
    keys = Keys(a_key())
    access = access_to(keys, clock)
    await access.caller(bearer())
    keys.rows.clear()
    clock.now += module.FRESH_SECONDS
    assert (await refusal(access, bearer())).status == 401


async def test_an_unknown_id_is_asked_for_once_in_a_shorter_while(clock: Clock) -> None:
    keys = Keys()
    access = access_to(keys, clock)
    for _ in range(3):
        await refusal(access, bearer())
    assert len(keys.reads) == 1
    keys.rows["a" * 10] = a_key()
    clock.now += module.MISSING_SECONDS
    assert (await access.caller(bearer())).name == "team"


async def test_requests_of_one_moment_share_a_read(clock: Clock) -> None:
    keys = Keys(a_key())
    keys.answers.clear()
    access = access_to(keys, clock)
    calls = [asyncio.create_task(access.caller(bearer())) for _ in range(20)]
    await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.sleep(0)
    keys.answers.set()
    callers = await asyncio.gather(*calls[1:])
    assert {caller.name for caller in callers} == {"team"}
    assert len(keys.reads) == 1


async def test_guessed_ids_fill_no_memory_and_push_no_key_out(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    keys = Keys(a_key())
    access = access_to(keys, clock)
    await access.caller(bearer())
    for number in range(100):
        await refusal(access, bearer(f"{number:010}"))
    assert len(access._missing) == 10
    assert len(access._known) == 1
    before = len(keys.reads)
    await access.caller(bearer())
    assert len(keys.reads) == before


async def test_guessed_ids_take_few_connections_and_known_keys_pass_them(clock: Clock) -> None:
    keys = Keys(a_key())
    access = access_to(keys, clock)
    await access.caller(bearer())
    keys.answers.clear()
    guesses = [asyncio.create_task(refusal(access, bearer(f"{number:010}"))) for number in range(100)]
    clock.now += module.FRESH_SECONDS
    known = asyncio.create_task(access.caller(bearer()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert keys.reads.count("a" * 10) == 2
    assert keys.most_at_once == module.STRANGERS_AT_ONCE + 1
    keys.answers.set()
    await asyncio.gather(known, *guesses)
    assert keys.most_at_once == module.STRANGERS_AT_ONCE + 1


async def test_guessed_ids_wait_in_a_short_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRANGERS_MAX", 10)
    keys = Keys(a_key(), a_key("k" * 10))
    access = access_to(keys, clock)
    await access.caller(bearer("k" * 10))
    keys.answers.clear()
    guesses = [asyncio.create_task(refusal(access, bearer(f"{number:010}"))) for number in range(10)]
    await asyncio.sleep(0)
    # At once: nobody else is answered in the meantime.
    refused = asyncio.create_task(refusal(access, bearer("x" * 10)))
    await turns()
    assert refused.done()
    problem = refused.result()
    assert (problem.status, problem.kind, problem.headers["Retry-After"]) == (503, "keys-unavailable", "5")
    # Who asks for an id that is asked for already joins; a key that is known is read again beside the line.
    joined = asyncio.create_task(refusal(access, bearer(f"{0:010}")))
    clock.now += module.FRESH_SECONDS
    known = asyncio.create_task(access.caller(bearer("k" * 10)))
    await asyncio.sleep(0)
    keys.answers.set()
    assert {problem.status for problem in await asyncio.gather(joined, *guesses)} == {401}
    assert (await known).name == "team"
    assert (await access.caller(bearer())).name == "team"


async def test_what_nobody_waits_for_is_not_looked_up(clock: Clock) -> None:
    keys = Keys(a_key())
    keys.answers.clear()
    access = access_to(keys, clock)
    guesses = [asyncio.create_task(access.caller(bearer(f"{number:010}"))) for number in range(50)]
    patient = asyncio.create_task(refusal(access, bearer(f"{20:010}")))
    await asyncio.sleep(0)
    for guess in guesses:
        guess.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)
    assert len(access._strangers) == 1
    assert f"{20:010}" in access._strangers
    again = asyncio.create_task(access.caller(bearer()))
    await asyncio.sleep(0)
    keys.answers.set()
    await turns()
    assert again.done()
    assert (await again).name == "team"
    assert (await patient).status == 401
    assert len(keys.reads) <= module.STRANGERS_AT_ONCE + 2
    assert len(access._strangers) == 0


async def test_a_read_that_was_dropped_is_begun_anew(clock: Clock) -> None:
    keys = Keys(a_key())
    keys.answers.clear()
    access = access_to(keys, clock)
    gone = asyncio.create_task(access.caller(bearer()))
    await asyncio.sleep(0)
    gone.cancel()
    # Asks while the dropped read is about to end.
    again = asyncio.create_task(access.caller(bearer()))
    await asyncio.gather(gone, return_exceptions=True)
    keys.answers.set()
    await turns()
    assert again.done()
    assert (await again).name == "team"


# --- while AWS does not answer -------------------------------------------------------------------------------------------


async def test_a_known_key_works_on_for_five_minutes(clock: Clock) -> None:
    keys = Keys(a_key())
    access = access_to(keys, clock)
    await access.caller(bearer())
    keys.failure = TransportError("throttled")
    clock.now += module.FRESH_SECONDS
    await access.caller(bearer())
    assert len(keys.reads) == 2
    await access.caller(bearer())
    assert len(keys.reads) == 2, "AWS is not asked again at once"
    clock.now += module.AGAIN_SECONDS
    await access.caller(bearer())
    assert len(keys.reads) == 3
    clock.now += module.STALE_SECONDS - module.AGAIN_SECONDS - 0.5
    await access.caller(bearer())
    clock.now += 0.5
    assert (await refusal(access, bearer())).status == 503
    keys.failure = None
    await access.caller(bearer())


async def test_an_unseen_key_is_answered_503(clock: Clock) -> None:
    keys = Keys(a_key())
    keys.failure = TransportError("account 123 table x")
    problem = await refusal(access_to(keys, clock), bearer())
    assert (problem.status, problem.headers["Retry-After"]) == (503, "5")
    assert "123" not in problem.detail
    keys.failure = None


async def test_a_silent_aws_is_not_waited_for_long(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(module, "READ_WAIT_WITH_KNOWN_SECONDS", 0.05)
    keys = Keys(a_key())
    keys.answers.clear()
    access = access_to(keys, clock)
    assert (await refusal(access, bearer())).status == 503
    keys.answers.set()
    await access.caller(bearer())
    keys.answers.clear()
    clock.now += module.FRESH_SECONDS
    assert (await access.caller(bearer())).name == "team"
    keys.answers.set()


# --- rate ----------------------------------------------------------------------------------------------------------------


async def test_a_key_beyond_its_rate_is_told_when_to_come_again(clock: Clock) -> None:
    access = access_to(Keys(a_key(rate=0.4, burst=2)), clock)
    for _ in range(2):
        await access.caller(bearer())
    problem = await refusal(access, bearer())
    assert (problem.status, problem.headers["Retry-After"]) == (429, "3")
    clock.now += 3
    await access.caller(bearer())


async def test_a_wrong_secret_takes_nothing_of_the_rate(clock: Clock) -> None:
    access = access_to(Keys(a_key(rate=0.1, burst=1)), clock)
    for _ in range(5):
        await refusal(access, bearer(secret=OTHER))
    await access.caller(bearer())


async def test_reading_a_key_again_fills_no_bucket_unless_its_rate_changed(clock: Clock) -> None:
    keys = Keys(a_key(rate=0.001, burst=1))
    access = access_to(keys, clock)
    await access.caller(bearer())
    clock.now += module.FRESH_SECONDS
    assert (await refusal(access, bearer())).status == 429
    assert len(keys.reads) == 2
    keys.rows["a" * 10] = a_key(rate=1, burst=1)
    clock.now += module.FRESH_SECONDS
    await access.caller(bearer())


steps = st.lists(st.floats(0, 30, allow_subnormal=False), min_size=1, max_size=60)


@given(st.floats(0.01, 100), st.integers(1, 20), steps)
def test_never_more_than_rate_and_burst_allow(rate: float, burst: int, waits: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    taken_at: list[float] = []
    for wait in waits:
        clock.now += wait
        for _ in range(burst + 2):
            if bucket.take() == 0:
                taken_at.append(clock.now)
    for first, since in enumerate(taken_at):
        for last in range(first, len(taken_at)):
            count, seconds = last - first + 1, taken_at[last] - since
            assert count <= rate * seconds + burst + 1e-6


@given(st.floats(0.01, 100), st.integers(1, 20), st.integers(0, 50))
def test_who_waits_as_told_is_let_through(rate: float, burst: int, takes: int) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    for _ in range(burst + takes):
        wait = bucket.take()
    while (wait := bucket.take()) == 0:
        pass
    assert 0 < wait <= 1 / rate
    clock.now += max(1, math.ceil(wait))
    assert bucket.take() == 0


# --- the guard -----------------------------------------------------------------------------------------------------------


async def test_a_body_is_read_of_nobody_without_a_key(clock: Clock) -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"].get("caller"))
        await Problem(418, "teapot", "reached").response()(scope, receive, send)

    async with serving(KeyGuard(app, access_to(Keys(a_key()), clock))) as port:
        async with connection(port) as raw:
            await raw.send(b"POST /v2/models/red/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            answer = await raw.answer()
            assert (answer.status, answer.json["type"]) == (401, "/problems/unauthorized")
            assert answer.headers["www-authenticate"] == 'Bearer realm="inference-engine"'
        for path in ("/metrics", "/ui/..%2fv2/models", "/ui/overview", "/v2/health/ready/", "//v2/health/ready", "/"):
            async with connection(port) as raw:
                await raw.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert (await raw.answer()).status == 401, path
        assert seen == []
        key = f"X-API-Key: ie_{'a' * 10}_{SECRET}\r\n"
        for path, header in (*((path, "") for path in sorted(PUBLIC_PATHS)), ("/metrics", key)):
            async with connection(port) as raw:
                await raw.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
                assert (await raw.answer()).status == 418, path
    assert seen == [None] * len(PUBLIC_PATHS) + [Caller("a" * 10, "team", operator=False)]
