"""One request to a callback URL: where it may go, how long it may take, what is believed of the other side."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inference_engine.errors import CallbackError
from inference_engine.webhooks.http import ANSWER_MAX_BYTES, CallbackTimeoutError, post
from tests.support.webhooks import Receiver, receiver

NAME = "receiver.example"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolve to one answer after another; the names that were asked for."""
    real, left, asked = socket.getaddrinfo, list(answers), []

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            asked.append(host)
            addresses = left.pop(0)
            return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]
        return real(host, port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def connected_to(monkeypatch: pytest.MonkeyPatch, there: Receiver) -> list[str]:
    """Have every connection go to the receiver; the addresses that were asked for."""
    real, asked = socket.create_connection, []

    def create_connection(address: tuple[str, int], **named: Any) -> socket.socket:
        asked.append(address[0])
        return real(("127.0.0.1", there.port), **named)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return asked


#: How often a raw server repeats its last part before it hangs up: without a time limit of its own, a caller would wait for all.
REPEATED = 400


@contextmanager
def raw_server(*parts: bytes, every: float = 0.05) -> Iterator[str]:
    """Answers each connection with some bytes, a part at a time, and the last one again and again."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            try:
                for part in parts:
                    connection.sendall(part)
                for _ in range(REPEATED):
                    if done.wait(every):
                        return
                    connection.sendall(parts[-1] if parts else b"")
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        done.set()
        listener.close()
        thread.join()


# --- where it goes -------------------------------------------------------------------------------------------------------


def test_a_function_is_not_made_to_call_lambda_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    # Some of these stand for another: IPv4 within IPv6, and what a NAT64 gateway would make of it.
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"):
        url = f"http://{host}:9001/2018-06-01/runtime/init/error"
        with pytest.raises(CallbackError, match="the API with which AWS Lambda controls this function"):
            post(url, {}, b"{}", timeout_seconds=1, allow_private=True)


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there, pytest.MonkeyPatch.context() as patch:
        names = resolve_to(patch, ["93.184.215.14"], ["127.0.0.1"])
        addresses = connected_to(patch, there)
        # No TLS at the other end: this far is far enough.
        with pytest.raises((OSError, ssl.SSLError)):
            post(f"https://{NAME}/", {}, b"{}", timeout_seconds=2)
    assert (names, addresses) == ([NAME], ["93.184.215.14"])


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1"], ["169.254.169.254"]])
def test_a_name_with_an_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    with receiver() as there:
        asked = connected_to(monkeypatch, there)
        resolve_to(monkeypatch, addresses)
        with pytest.raises(CallbackError, match="callbacks must not be sent to the address"):
            post(f"https://{NAME}:{there.port}/", {}, b"{}", timeout_seconds=2)
        assert (asked, there.silent) == ([], True)


def test_metadata_is_refused_even_where_private_addresses_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["169.254.169.254"])
    with pytest.raises(CallbackError):
        post(f"http://{NAME}/", {}, b"{}", timeout_seconds=2, allow_private=True)


def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there:
        resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        answer = post(f"http://{NAME}:{there.port}/x", {"A": "b"}, b"{}", timeout_seconds=2, allow_private=True)
        request = there.next()
    assert (answer.status, answer.text) == (200, "as told")
    assert (request.path, request.body, request.headers["a"]) == ("/x", b"{}", "b")
    assert request.headers["host"] == f"{NAME}:{there.port}"


def test_a_redirect_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with receiver(lambda _: 307) as there:
        assert post(there.url, {}, b"{}", timeout_seconds=2, allow_private=True).status == 307
        there.next()
        assert there.silent


# --- how long it takes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
    ],
    ids=["silent", "an endless header", "endless headers", "endless promises"],
)
def test_a_receiver_that_never_comes_to_an_end_is_cut_off(parts: tuple[bytes, ...]) -> None:
    # A receiver that hangs up by itself is another error.
    with raw_server(*parts) as url, pytest.raises(CallbackTimeoutError):
        post(url, {}, b"{}", timeout_seconds=0.5, allow_private=True)


def test_the_status_counts_whatever_the_body_is() -> None:
    with raw_server(b"HTTP/1.1 204 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n") as url:
        assert post(url, {}, b"{}", timeout_seconds=0.5, allow_private=True).status == 204
    with raw_server(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n", b"x" * 10_000, every=0) as url:
        answer = post(url, {}, b"{}", timeout_seconds=5, allow_private=True)
    assert (answer.status, len(answer.text)) == (500, ANSWER_MAX_BYTES)
    with raw_server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x") as url:
        answer = post(url, {}, b"{}", timeout_seconds=0.5, allow_private=True)
    assert answer.status == 200
    assert len(answer.text) < REPEATED, "it was not waited for the end of the body"


def test_what_is_no_http_is_an_error() -> None:
    with raw_server(b"220 mail.example ESMTP\r\n") as url, pytest.raises(http.client.HTTPException):
        post(url, {}, b"{}", timeout_seconds=2, allow_private=True)


# --- TLS -----------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a certificate, signed by itself, of a server of that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("name", "trusted"), [(NAME, True), ("other.example", True), (NAME, False)])
def test_tls_is_verified_against_the_hosts_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    pem = certificate(tmp_path, name)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=str(pem)) if trusted else None
    resolve_to(monkeypatch, ["127.0.0.1"])
    with receiver(tls=server) as there:
        url = f"https://{NAME}:{there.port}/"
        if name == NAME and trusted:
            assert post(url, {}, b"{}", timeout_seconds=5, allow_private=True, tls=client).status == 200
            return
        with pytest.raises(ssl.SSLCertVerificationError):
            post(url, {}, b"{}", timeout_seconds=5, allow_private=True, tls=client)
        assert there.silent


def test_a_handshake_that_never_ends_is_cut_off() -> None:
    # A receiver that hangs up by itself is another error.
    with raw_server() as url, pytest.raises(CallbackTimeoutError):
        post(url.replace("http:", "https:"), {}, b"{}", timeout_seconds=0.5, allow_private=True)
