"""`top --gateway`: what a gateway tells over HTTP, and what is said where it tells nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import pytest

from inference_engine import AsyncConsumer
from inference_engine.cli import main
from inference_engine.cli.gateway_status import KEY_VARIABLE
from inference_engine.deployment import Deployment
from inference_engine.local.processes import free_port
from inference_engine.settings import Settings
from tests.support.gateway import running_gateway


def top(url: str, *arguments: str) -> int:
    return main(["top", "--once", "--gateway", url, *arguments])


async def call(url: str) -> None:
    body = {"model_name": "red", "inputs": {"n": 1}}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/predict", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_gateway_tells_of_the_deployment_and_of_its_callers(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_gateway(settings) as url:
        async with AsyncConsumer(settings, compute_result=lambda body, _id: body, consumer_id="one"):
            await call(url)
            # Of nothing but the gateway: a command has no AWS here.
            assert await asyncio.to_thread(top, url + "/", "--json") == 0
            told = json.loads(capsys.readouterr().out)
            assert await asyncio.to_thread(top, url) == 0
            text = capsys.readouterr().out
    assert [row["consumer_id"] for row in told["consumers"]] == ["one"]
    assert (told["gateway"]["latency_ms"]["count"], told["gateway"]["outcomes"]["dispatched"]) == (1, 1)
    lines = [line.split() for line in text.splitlines()]
    assert ["GATEWAY", "VALUE"] in lines
    assert ["dispatched", "1"] in lines
    assert ["red", "loaded"] in [line[:2] for line in lines]


async def test_a_gateway_with_keys_tells_operators_only(
    settings: Settings, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {
        name: (await deployment.api_keys.create(name, operator=name == "operator"))[0]
        for name in ("operator", "caller")
    }
    with running_gateway(settings, require_keys=True) as url:
        assert await asyncio.to_thread(top, url) == 1
        told = capsys.readouterr().err
        assert "answers 401: an API key is needed" in told
        assert KEY_VARIABLE in told
        monkeypatch.setenv(KEY_VARIABLE, keys["caller"])
        assert await asyncio.to_thread(top, url) == 1
        assert "answers 403" in capsys.readouterr().err
        monkeypatch.setenv(KEY_VARIABLE, keys["operator"])
        assert await asyncio.to_thread(top, url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["gateway"]["waiting"] == 0


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A server that is no gateway, and the keys that it was told."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["X-API-Key"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", keys
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"{}", "is not a gateway, or is one of another version"),
        (200, b'{"overview": ', "is not a gateway, or is one of another version"),
        (200, b"<html>", "is not a gateway, or is one of another version"),
        (500, b"<html>", "answers 500: Internal Server Error"),
        (503, b'{"detail": "too early"}', "answers 503: too early"),
    ],
)
def test_what_is_no_gateway_is_told_in_a_line(
    status: int, body: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(status, body) as (url, _):
        assert top(url) == 1
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_a_key_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "for the gateway")
    with (
        answering(200, b"{}") as (elsewhere, seen),
        answering(307, b"", Location=f"{elsewhere}/ui/data") as (url, told),
    ):
        assert top(url) == 1
    assert "answers 307" in capsys.readouterr().err
    assert (told, seen) == (["for the gateway"], [])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8000", "not the URL of a gateway"),
        ("file:///etc/passwd", "not the URL of a gateway"),
        ("http://", "not the URL of a gateway"),
        ("http://127.0.0.1:port", "not the URL of a gateway"),
        ("http://[::1", "not the URL of a gateway"),
        ("http://two words/", "not the URL of a gateway"),
        ("http://user:s3cret@127.0.0.1:8000", KEY_VARIABLE),
        ("http://user:s3cret@[::1", KEY_VARIABLE),
    ],
)
def test_what_is_no_url_is_not_asked(url: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert top(url) == 1
    complaint = capsys.readouterr().err
    assert told in complaint
    assert "s3cret" not in complaint


def test_what_speaks_no_http_is_no_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert top(f"http://127.0.0.1:{server.getsockname()[1]}") == 1
        thread.join()
    assert "no gateway answers" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["ie_sec\rret", "ie_secr\u00e9t"])
def test_what_cannot_be_a_key_is_not_sent_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    assert top(f"http://127.0.0.1:{free_port()}") == 1
    error = capsys.readouterr().err
    assert f"{KEY_VARIABLE} contains characters" in error
    assert "sec" not in error


def test_a_line_s_end_is_no_part_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "key\r\n")
    with answering(500, b"") as (url, keys):
        assert top(url) == 1
    assert keys == ["key"]


def test_a_gateway_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert top(url) == 1
    assert f"no gateway answers at {url}" in capsys.readouterr().err
