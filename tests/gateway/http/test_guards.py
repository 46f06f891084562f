"""What stands before every route, over real connections: limits on bodies, browsers kept away, ids, the access log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from inference_engine.gateway.app import guarded
from inference_engine.gateway.auth.access import Access
from inference_engine.gateway.http import body_limit as guards
from inference_engine.gateway.http import protocol
from inference_engine.gateway.http.body_limit import BodyLimit, Budget, Share
from inference_engine.gateway.http.origin import names_loopback
from inference_engine.gateway.http.problems import Problem
from inference_engine.gateway.settings import GatewaySettings
from tests.support.serving import connection, serving
from tests.support.waiting import HANG_SECONDS, eventually

MAX_BYTES = 1000
KEY = "ie_abcdefghij_" + "s" * 43


class Note(BaseModel):
    text: str


class Probe:
    """An app with the ways that apps have of reading bodies, and what it saw."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.app = FastAPI()
        router = APIRouter(prefix="/v2")
        router.add_api_route("/models/{name}/infer", self.infer, methods=["POST"])
        router.add_api_route("/health/ready", self.ready, methods=["GET"])
        router.add_api_route("/raw", self.raw, methods=["POST"])
        router.add_api_route("/size", self.size, methods=["POST"])
        router.add_api_route("/broken", self.broken, methods=["GET"])
        router.add_api_route("/wait", self.wait, methods=["GET"])
        router.add_api_route("/hold", self.hold, methods=["POST"])
        self.app.include_router(router)

    async def infer(self, name: str, note: Note, request: Request) -> dict[str, int]:
        request.state.label = name
        self.read.append(len(note.text))
        return {"read": len(note.text)}

    async def raw(self, request: Request) -> dict[str, int]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        self.read.append(size)
        return {"read": size}

    async def size(self, request: Request) -> list[int]:
        before = request.state.body_bytes
        await request.body()
        return [before, request.state.body_bytes]

    async def ready(self) -> dict[str, bool]:
        return {"ready": True}

    async def broken(self) -> None:
        raise RuntimeError("a bug")

    async def hold(self, request: Request) -> None:
        size = len(await request.body())
        self.read.append(size)
        await self.wait(request)

    async def wait(self, request: Request) -> str:
        """Until it may go on or the caller leaves."""
        self.waits.set()
        left = asyncio.create_task(self._leaves(request))
        goes_on = asyncio.create_task(self.goes_on.wait())
        _, others = await asyncio.wait((left, goes_on), return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        return "waited"

    async def _leaves(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def body_seconds() -> float:
    """How long a body may take; short only where one takes longer, so that a busy machine takes not too long elsewhere."""
    return HANG_SECONDS


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, body_seconds: float) -> GatewaySettings:
    monkeypatch.setattr(guards, "LINGER_SECONDS", 0.3)
    return GatewaySettings(body_max_bytes=MAX_BYTES, body_timeout_seconds=body_seconds)


@pytest.fixture
async def port(probe: Probe, settings: GatewaySettings) -> AsyncIterator[int]:
    async with serving(guarded(probe.app, settings, Access.open())) as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


def head(path: str = "/v2/raw", *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


# --- bodies --------------------------------------------------------------------------------------------------------------


async def test_a_body_up_to_the_limit_is_read(client: httpx.AsyncClient, probe: Probe) -> None:
    assert (await client.post("/v2/raw", content=b"x" * MAX_BYTES)).json() == {"read": MAX_BYTES}
    text = "y" * (MAX_BYTES - len(json.dumps({"text": ""}, separators=(",", ":"))))
    assert (await client.post("/v2/models/red/infer", json={"text": text})).status_code == 200
    assert probe.read == [MAX_BYTES, len(text)]


async def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(port: int, probe: Probe) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", f"Content-Length: {MAX_BYTES + 1}"))
        answer = await raw.answer()
        assert (answer.status, answer.json["type"]) == (413, "/problems/too-large")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert str(MAX_BYTES) in answer.json["detail"]
        assert await raw.closed()
    assert probe.read == []


async def test_who_asks_first_is_told_not_to_send_the_body(port: int) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", f"Content-Length: {MAX_BYTES + 1}", "Expect: 100-continue"))
        assert (await raw.answer()).status == 413
        assert await raw.closed()


@pytest.mark.parametrize("path", ["/v2/raw", "/v2/models/red/infer"])
async def test_a_body_without_a_length_is_counted_as_it_comes(port: int, probe: Probe, path: str) -> None:
    async with connection(port) as raw:
        await raw.send(head(path, "Transfer-Encoding: chunked", "Content-Type: application/json"))
        for _ in range(3):
            await raw.send(b"190\r\n" + b"x" * 400 + b"\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.json["type"]) == (413, "/problems/too-large")
    assert probe.read == []


async def test_the_size_of_a_body_is_known_to_routes(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"de"

    assert (await client.post("/v2/size", content=b"abc")).json() == [3, 3]
    assert (await client.post("/v2/size", content=chunks())).json() == [0, 5]
    assert (await client.post("/v2/size")).json() == [0, 0]


async def test_who_sends_all_before_reading_gets_the_answer_still(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "LINGER_SECONDS", HANG_SECONDS)
    response = await client.post("/v2/raw", content=b"x" * 30_000_000)
    assert (response.status_code, response.json()["status"]) == (413, 413)
    assert (await client.post("/v2/raw", content=b"x")).status_code == 200


async def test_what_is_sent_without_end_is_not_listened_to_without_end(port: int) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", "Transfer-Encoding: chunked"))

        async def flood() -> None:
            while True:
                await raw.send(b"2000\r\n" + b"x" * 8192 + b"\r\n")

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(), HANG_SECONDS)


@pytest.mark.parametrize("body_seconds", [0.3])
@pytest.mark.parametrize("path", ["/v2/raw", "/v2/models/red/infer"])
@pytest.mark.parametrize("first", [b"", b'{"text'])
async def test_a_body_that_does_not_arrive_is_given_up(port: int, probe: Probe, path: str, first: bytes) -> None:
    async with connection(port) as raw:
        await raw.send(head(path, "Content-Length: 100", "Content-Type: application/json") + first)
        answer = await raw.answer()
        assert (answer.status, answer.json["type"]) == (408, "/problems/body-timeout")
        assert await raw.closed()
    assert probe.read == []


@pytest.mark.parametrize("body_seconds", [0.3])
async def test_a_body_that_trickles_has_no_more_time_than_another(port: int, probe: Probe) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", "Content-Length: 900"))

        async def trickle() -> None:
            for _ in range(900):
                await raw.send(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert (await raw.answer()).status == 408
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
    assert probe.read == []


async def test_a_head_that_does_not_arrive_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.3)
    async with connection(port) as silent, connection(port) as slow:
        await slow.send(b"GET /v2/health/ready HTTP/1.1\r\nHost: local")
        assert await silent.closed()
        assert await slow.closed()


async def test_the_rest_of_a_refused_body_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", "Content-Length: 100", "Origin: http://evil.example"))
        assert (await raw.answer()).status == 403
        # From here on: the request itself may take its time to arrive.
        monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.3)
        await raw.send(b"x")
        assert await raw.closed()


async def test_a_slow_answer_is_no_slow_head(port: int, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/health/ready", method="GET"))
        assert (await raw.answer()).status == 200
        monkeypatch.setattr(protocol, "HEAD_TIMEOUT_SECONDS", 0.1)
        await raw.send(head("/v2/wait", method="GET"))
        await asyncio.wait_for(probe.waits.wait(), HANG_SECONDS)
        # Timers of one loop end in their order: a limit that ran would be over before this.
        await asyncio.sleep(0.2)
        probe.goes_on.set()
        assert (await raw.answer()).json == "waited"


async def test_rubbish_after_a_request_spoils_no_answer(port: int) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", "Content-Length: 3") + b"abc" + b"\x00\xff rubbish\r\n\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.json) == (200, {"read": 3})
        assert (await raw.answer()).status == 400
        await raw.closed()


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: -1",),
        ("Content-Length: " + "9" * 5000,),
        ("Transfer-Encoding: gzip",),
    ],
)
async def test_lengths_that_cannot_be_are_refused(port: int, lines: tuple[str, ...]) -> None:
    async with connection(port) as raw:
        await raw.send(head("/v2/raw", *lines) + b"abcd")
        assert (await raw.answer()).status in (400, 413, 501)


@pytest.fixture
def budget() -> Budget:
    """One and a half bodies."""
    return Budget(MAX_BYTES * 3 // 2)


@pytest.fixture
async def narrow(probe: Probe, budget: Budget) -> AsyncIterator[int]:
    async with serving(BodyLimit(probe.app, MAX_BYTES, 10, budget)) as port:
        yield port


def in_chunks(size: int) -> bytes:
    return f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"


async def test_bodies_that_are_not_answered_leave_no_room_for_others(narrow: int, probe: Probe, budget: Budget) -> None:
    async with connection(narrow) as holder:
        await holder.send(head("/v2/hold", "Content-Length: 800") + b"x" * 800)
        await asyncio.wait_for(probe.waits.wait(), HANG_SECONDS)
        for request in (
            head("/v2/raw", "Content-Length: 800"),
            head("/v2/raw", "Transfer-Encoding: chunked") + in_chunks(400) + in_chunks(400),
        ):
            async with connection(narrow) as raw:
                await raw.send(request)
                answer = await raw.answer()
                assert (answer.status, answer.json["type"]) == (503, "/problems/busy")
                assert (answer.headers["retry-after"], answer.headers["connection"]) == ("2", "close")
        async with connection(narrow) as raw:
            await raw.send(head("/v2/raw", "Content-Length: 700") + b"x" * 700)
            assert (await raw.answer()).json == {"read": 700}
            assert budget.held_bytes in (800, 1500)
    await asyncio.to_thread(eventually, lambda: budget.held_bytes == 0, "all is given back")
    async with connection(narrow) as raw:
        await raw.send(head("/v2/raw", "Content-Length: 1000") + b"x" * 1000)
        assert (await raw.answer()).json == {"read": 1000}


async def test_who_only_declares_a_body_keeps_nobody_out(narrow: int) -> None:
    async with connection(narrow) as silent:
        await silent.send(head("/v2/raw", "Content-Length: 1000"))
        async with connection(narrow) as raw:
            await raw.send(head("/v2/raw", "Content-Length: 1000") + b"x" * 1000)
            assert (await raw.answer()).json == {"read": 1000}


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["grow", "posting", "posted", "release"]), st.integers(0, 700))
    )
)
def test_a_body_counts_until_its_request_is_over_and_its_job_is_posted(
    events: list[tuple[int, str, int]],
) -> None:
    budget = Budget(1000)
    shares = [Share(budget) for _ in range(4)]
    held, posting, over = Counter[int](), set[int](), set[int]()
    for one, event, size in events:
        if event == "grow":
            if one in over:
                continue
            fits = size <= held[one] or held.total() - held[one] + size <= 1000
            with contextlib.nullcontext() if fits else pytest.raises(Problem):
                shares[one].grow(size)
            held[one] = max(held[one], size) if fits else held[one]
        else:
            getattr(shares[one], event)()
            if event == "posting":
                posting.add(one)
            elif event == "posted":
                posting.discard(one)
            else:
                over.add(one)
        if one in over and one not in posting:
            held[one] = 0
        assert budget.held_bytes == held.total()


# --- connections ---------------------------------------------------------------------------------------------------------


async def test_connections_beyond_the_limit_are_closed_and_others_served_on(
    probe: Probe, settings: GatewaySettings, caplog: pytest.LogCaptureFixture
) -> None:
    ask = head("/v2/health/ready", method="GET")
    app = guarded(probe.app, settings, Access.open())
    async with serving(app, protocol.limited(2, None)) as port:
        async with connection(port) as first, connection(port) as second:
            for raw in (first, second):
                await raw.send(ask)
                assert (await raw.answer()).status == 200
            for _ in range(3):
                async with connection(port) as third:
                    assert await third.closed()
            for raw in (first, second):
                await raw.send(ask)
                assert (await raw.answer()).json == {"ready": True}
        assert [record.getMessage() for record in caplog.records if record.name == protocol.__name__] == [
            "connections are refused: 2 are open (max_connections)"
        ]

        def served() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200
            return False

        await asyncio.to_thread(eventually, served, "there is room again")


async def test_connections_of_nobody_may_not_rest_long(probe: Probe, settings: GatewaySettings) -> None:
    app = guarded(probe.app, settings, Access.open())
    async with serving(app, protocol.limited(10, 0)) as port:
        async with connection(port) as stranger:
            await stranger.send(head("/live", method="GET"))
            assert (await stranger.answer()).status == 404
            # Others may rest for longer than is waited for here.
            assert await stranger.closed()
        async with connection(port) as caller:
            for path, status in (("/v2/raw", 405), ("/live", 404), ("/v2/raw", 405)):
                await caller.send(head(path, method="GET"))
                assert (await caller.answer()).status == status


# --- behind a load balancer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "trusted", "client"),
    [
        (["10.9.8.7"], False, "127.0.0.1"),
        (["10.9.8.7"], True, "10.9.8.7"),
        (["1.1.1.1, 10.9.8.7"], True, "10.9.8.7"),
        (["1.1.1.1", "2.2.2.2 , 10.9.8.7"], True, "10.9.8.7"),
        (["10.9.8.7:4711"], True, "10.9.8.7"),
        (["2001:DB8::1"], True, "2001:db8::1"),
        (["[2001:db8::1]:4711"], True, "2001:db8::1"),
        (["10.9.8.7 status=200 key_id=boss"], True, "127.0.0.1"),
        (["10.9.8.7, unknown"], True, "127.0.0.1"),
        (["fe80::1%eth0 status=200"], True, "127.0.0.1"),
        (["10.9.8.7,"], True, "127.0.0.1"),
        ([], True, "127.0.0.1"),
    ],
)
async def test_the_address_in_the_log_is_what_the_load_balancer_saw(
    probe: Probe, caplog: pytest.LogCaptureFixture, lines: list[str], trusted: bool, client: str
) -> None:
    caplog.set_level(logging.INFO)
    app = guarded(probe.app, GatewaySettings(trust_proxy=trusted), Access.open())
    async with serving(app) as port, connection(port) as raw:
        await raw.send(head("/nowhere", *(f"X-Forwarded-For: {line}" for line in lines), method="GET"))
        assert (await raw.answer()).status == 404
    (record,) = records(caplog)
    assert vars(record)["client"] == client


# --- gateways without keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "named"),
    [
        *((name, True) for name in ("localhost", "LOCALHOST:8000", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8000")),
        *((name, False) for name in ("", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80")),
        *(
            (name, False)
            for name in ("10.0.0.1", "0.0.0.0:8000", "[::]", "::1", "127.0.0.1:x", "a@localhost", "localhost:")
        ),
        *((name, False) for name in ("[localhost", "[127.0.0.1]x", "127.1", "localhost\n")),
    ],
)
def test_what_names_loopback(authority: str, named: bool) -> None:
    assert names_loopback(authority) is named


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "anything-new"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://LOCALHOST:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_pages_of_other_sites_are_kept_away(
    client: httpx.AsyncClient, probe: Probe, headers: dict[str, str], status: int
) -> None:
    response = await client.post("/v2/raw", content=b"abc", headers=headers)
    assert response.status_code == status
    assert probe.read == [3] * (status == 200)
    if status == 403:
        assert response.json()["type"] == "/problems/not-from-this-machine"
        assert response.headers["X-Request-Id"]


async def test_a_request_without_a_host_name_is_refused(port: int) -> None:
    async with connection(port) as raw:
        await raw.send(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
        assert (await raw.answer()).status == 403


# --- ids and headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-123", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x" * 128])
async def test_a_callers_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/v2/health/ready", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"two words", b"caf\xe9", b"tab\tbed"])
async def test_a_request_id_that_does_not_fit_a_log_is_replaced(client: httpx.AsyncClient, given: bytes) -> None:
    response = await client.get("/v2/health/ready", headers=[(b"x-request-id", given)])
    assert len(response.headers["X-Request-Id"]) == 32
    again = await client.get("/v2/health/ready")
    assert again.headers["X-Request-Id"] != response.headers["X-Request-Id"]


@pytest.mark.parametrize(("path", "status"), [("/v2/health/ready", 200), ("/nowhere", 404), ("/v2/broken", 500)])
async def test_every_answer_has_the_headers(client: httpx.AsyncClient, path: str, status: int) -> None:
    response = await client.get(path)
    assert response.status_code == status
    assert response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


# --- the log -------------------------------------------------------------------------------------------------------------


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "inference_engine.gateway.http.access_log"]


async def test_a_request_is_one_record(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    response = await client.post("/v2/models/red/infer", json={"text": "abc"}, headers={"X-Request-Id": "r1"})
    (record,) = records(caplog)
    fields = vars(record)
    assert fields.pop("duration_ms") > 0
    wanted = {"method": "POST", "route": "/v2/models/{name}/infer", "status": 200, "label": "red", "request_id": "r1"}
    wanted |= {"bytes_in": len('{"text":"abc"}'), "bytes_out": len(response.content), "client": "127.0.0.1"}
    assert {name: fields[name] for name in wanted} == wanted
    assert record.getMessage() == "POST /v2/models/{name}/infer 200"


async def test_the_log_has_no_secrets(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "inference_engine")
    headers = {"Authorization": f"Bearer {KEY}", "X-API-Key": KEY, "Cookie": f"k={KEY}"}
    await client.post(f"/v2/raw?key={KEY}&other=hidden", content=KEY, headers=headers)
    await client.get(f"/nowhere/{KEY}/more")
    await client.get("/v2/line%0Abreak")
    texts = [repr(vars(record)) for record in records(caplog)]
    assert len(texts) == 3
    assert [record.name for record in caplog.records if record.name.startswith("uvicorn.access")] == []
    assert "s" * 43 not in "".join(texts)
    assert "hidden" not in "".join(texts)
    assert "/nowhere/ie_abcdefghij_…/more" in texts[1]
    assert "/v2/line%0Abreak" in texts[2]


async def test_long_paths_are_cut_in_the_log(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await client.get("/" + "x" * 5000)
    (record,) = records(caplog)
    assert len(vars(record)["route"]) == 200


async def test_health_checks_are_not_logged_at_info(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await client.get("/v2/health/ready")
    assert records(caplog) == []
    caplog.set_level(logging.DEBUG, "inference_engine")
    await client.get("/v2/health/ready")
    assert [record.levelname for record in records(caplog)] == ["DEBUG"]


async def test_who_left_before_the_answer_is_499(port: int, probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with connection(port) as raw:
        await raw.send(head("/v2/wait", method="GET"))
        await asyncio.wait_for(probe.waits.wait(), HANG_SECONDS)
    await asyncio.to_thread(eventually, lambda: records(caplog), "the request is logged")
    assert vars(records(caplog)[0])["status"] == 499


@pytest.mark.parametrize(
    ("path", "content", "status"), [("/v2/broken", b"", 500), ("/v2/raw", b"x" * 2000, 413), ("/v2/raw", b"x", 405)]
)
async def test_refusals_and_failures_are_logged_as_they_are_told(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str, content: bytes, status: int
) -> None:
    caplog.set_level(logging.INFO, "inference_engine")
    method = "PUT" if status == 405 else "GET" if status == 500 else "POST"
    assert (await client.request(method, path, content=content)).status_code == status
    (record,) = records(caplog)
    assert vars(record)["status"] == status
