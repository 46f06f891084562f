"""One request to a callback URL, which a stranger may have chosen: only to allowed addresses, and within its time limit.

The host's name is resolved once, and the connection goes to an address that was checked, so a name that points elsewhere a
moment later (DNS rebinding) gains nothing. Redirects are not followed, and proxies are not used.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from ..errors import CallbackError
from .rules import HTTPS_PORT, Target, check_address, effective_address, target_of

#: How much of an answer's body is read, for the log.
ANSWER_MAX_BYTES = 2048


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """A receiver's answer."""

    status: int
    text: str


class CallbackTimeoutError(TimeoutError):
    """The receiver did not answer in time."""


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_seconds: float,
    allow_private: bool = False,
    tls: ssl.SSLContext | None = None,
) -> ReceiverAnswer:
    """POST and return the answer, whatever its status; blocks for at most `timeout_seconds` plus the time that DNS takes.

    Raises CallbackError for a URL or an address that is refused, OSError or http.client.HTTPException where the request fails.
    """
    target = target_of(url, allow_private=allow_private)
    addresses = _resolved(target, allow_private)
    connection = _CallbackConnection(target, addresses, time.monotonic() + timeout_seconds, tls)
    with contextlib.closing(connection), connection.ended_in_time():
        connection.request("POST", target.path, body, dict(headers))
        # Closing the connection alone leaves the socket to an answer that was not read.
        with connection.getresponse() as answer:
            # Headers that were cut off look complete.
            connection.check_time()
            text = b""
            # Only the status matters.
            with contextlib.suppress(OSError, http.client.HTTPException):
                text = answer.read(ANSWER_MAX_BYTES)
            return ReceiverAnswer(answer.status, text.decode("utf-8", "replace"))


def _resolved(target: Target, allow_private: bool) -> list[str]:
    """All addresses of a host. Raises CallbackError unless every one is allowed."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check_address(address, allow_private=allow_private)
        if target.port == _runtime_port() and effective_address(address).is_loopback:
            raise CallbackError(f"{target.host}:{target.port} is the API with which AWS Lambda controls this function")
    return addresses


def _runtime_port() -> int | None:
    """The port of Lambda's own API on loopback, which a function must not be made to call; None outside Lambda."""
    return int(os.environ.get("AWS_LAMBDA_RUNTIME_API", "").rpartition(":")[2] or 0) or None


class _CallbackConnection(http.client.HTTPConnection):
    """A connection to one of several addresses, cut when its time is over, whatever it is doing.

    A socket's own timeout restarts with each byte: a receiver that sends one a second would hold the connection forever.
    """

    def __init__(self, target: Target, addresses: list[str], until: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        self._target = target
        self._addresses = addresses
        self._until = until
        self._tls = tls
        self._late = False
        # http.client drops its socket before the answer's body is read.
        self._held: socket.socket | None = None
        if target.scheme == "https":
            # The port that the Host header omits.
            self.default_port = HTTPS_PORT

    def connect(self) -> None:
        self.sock = self._held = self._reached()
        if self._target.scheme == "https":
            secure = (self._tls or _tls()).wrap_socket(
                self.sock, server_hostname=self._target.host, do_handshake_on_connect=False
            )
            self.sock = self._held = secure
            self.check_time()
            secure.do_handshake()
        self.check_time()

    @contextlib.contextmanager
    def ended_in_time(self) -> Iterator[None]:
        """Cut the connection when its time is over, if the block still runs. Raises CallbackTimeoutError then."""
        timer = threading.Timer(self._left(), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if self._late or isinstance(error, TimeoutError):
                raise CallbackTimeoutError("the receiver did not answer in time") from error
            raise
        finally:
            timer.cancel()

    def _reached(self) -> socket.socket:
        for number, address in enumerate(self._addresses, 1):
            try:
                return socket.create_connection((address, self._target.port), timeout=max(self._left(), 0.001))
            except OSError:
                if number == len(self._addresses) or self._left() <= 0:
                    raise
        raise OSError(f"{self._target.host} has no address")

    def _left(self) -> float:
        return self._until - time.monotonic()

    def check_time(self) -> None:
        """Raise TimeoutError once the connection was cut: the cut may have hit the previous socket instead of this one."""
        if self._late:
            raise TimeoutError

    def _cut(self) -> None:
        self._late = True
        if self._held is not None:
            with contextlib.suppress(OSError):
                # The plain socket's shutdown: that of TLS would also change the state with which the other thread reads.
                socket.socket.shutdown(self._held, socket.SHUT_RDWR)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
