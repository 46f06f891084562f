"""Callbacks: which URLs may be called, what is delivered to them, how it is signed, when it is retried. Pure rules.

Deliveries are signed as the Standard Webhooks specification says (its sections "Webhook headers" and "Signature scheme"), so
receivers can use any of its libraries, or `verify`. Addresses that are not public are those of IANA's "IPv4 Special-Purpose
Address Registry" and "IPv6 Special-Purpose Address Registry".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import random
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import Url

from ..errors import CallbackError, DecodeError, SettingsError
from ..jobs.job import CALLBACK_URL_MAX_CHARACTERS, JobFailure, ResultStatus

#: Longest error message in a delivery: ten deliveries with their URLs must fit one request to SQS.
ERROR_MAX_CHARACTERS = 2000
#: Waits after each failed try of a delivery but the last, in seconds: hours in all, in which a receiver can be repaired.
WAITS_SECONDS = (5.0, 30.0, 120.0, 480.0, 1800.0, 3600.0, 3600.0, 3600.0, 3600.0)
#: Each wait is shortened by a random part of up to this, so that deliveries that failed together are not retried together.
JITTER = 0.2
#: How far a delivery's signing time may be off: clocks differ, but a recorded delivery must not be replayed later.
TOLERANCE_SECONDS = 300
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of a secret, not a secret
#: Standard Webhooks: keys of 24 to 64 bytes.
SECRET_BYTES = 32
SECRET_MIN_BYTES, SECRET_MAX_BYTES = 24, 64
#: Below this, servers of other protocols listen, which might understand a request as one of theirs.
UNPRIVILEGED_PORT = 1024
HTTPS_PORT = 443

EVENTS = {
    ResultStatus.SUBMITTED: "job.requeued",
    ResultStatus.IN_PROGRESS: "job.started",
    ResultStatus.SUCCESS: "job.succeeded",
    ResultStatus.ERROR: "job.failed",
    ResultStatus.CANCELLED: "job.cancelled",
    ResultStatus.EXPIRED: "job.expired",
}

#: Seconds since 1970 have ten digits for the next centuries.
_TIMESTAMP = re.compile(r"[0-9]{1,12}")

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*names: str) -> tuple[_Network, ...]:
    return tuple(ip_network(name) for name in names)


#: Never called, whatever the settings say: `allow_private` is for private receivers, not for credentials of the host's role.
_METADATA = _networks("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")
_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "::1/128", "fc00::/7"
)
#: Reserved addresses, and those of documentation, benchmarks, multicast and gateways into other networks.
_SPECIAL = _networks(
    *("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: IPv6 addresses that stand for the IPv4 address in their last four bytes: mapped, and translated by a NAT64 gateway.
_EMBEDDING = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def is_public(address: str | _Address) -> bool:
    """Whether an IP address belongs to a host of the public internet."""
    address = effective_address(address)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not _within(address, (*_METADATA, *_PRIVATE, *_SPECIAL))


def check_address(address: str | _Address, *, allow_private: bool = False) -> None:
    """Raises CallbackError unless callbacks may be sent to this IP address."""
    effective = effective_address(address)
    private = allow_private and _within(effective, _PRIVATE) and not _within(effective, _METADATA)
    if not (private or is_public(effective)):
        hint = "" if allow_private else "; private receivers need INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE"
        raise CallbackError(f"callbacks must not be sent to the address {address}{hint}")


def effective_address(address: str | _Address) -> _Address:
    """The address that `address` leads to: an IPv6 address may stand for an IPv4 address."""
    if isinstance(address, str):
        address = ip_address(address)
    if isinstance(address, IPv6Address) and any(address in network for network in _EMBEDDING):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _within(address: _Address, networks: Sequence[_Network]) -> bool:
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Target:
    """The receiver that a callback URL names: `host` without brackets, `path` with the query."""

    scheme: str
    host: str
    port: int
    path: str


def check_callback_url(url: str, *, allow_private: bool = False) -> str:
    """`url` itself. Raises CallbackError where callbacks may not be sent to it, as far as can be told without DNS.

    https only, without credentials, to port 443 or one above 1023; `allow_private` permits http, any port and private hosts.
    """
    target_of(url, allow_private=allow_private)
    return url


def target_of(url: str, *, allow_private: bool = False) -> Target:
    """The receiver that a callback URL names. Raises CallbackError as `check_callback_url` does.

    The URL is parsed as browsers do it (WHATWG URL Standard), so no notation of an address (`2130706433`, `0x7f.1`) hides it.
    """
    parsed = _parsed(url)
    host = (parsed.host or "").removeprefix("[").removesuffix("]")
    port = parsed.port or 0
    if parsed.scheme not in ("https", "http") or (parsed.scheme == "http" and not allow_private):
        raise CallbackError(f"callback URL of {host!r} begins with {parsed.scheme}://; it must be https://")
    if parsed.username is not None or parsed.password is not None:
        raise CallbackError(
            f"callback URL of {host!r} contains credentials; remove them, the receiver verifies the signature instead"
        )
    if not port or not (allow_private or port == HTTPS_PORT or port >= UNPRIVILEGED_PORT):
        raise CallbackError(f"callback URL of {host!r} has port {port}; use 443, or one above {UNPRIVILEGED_PORT - 1}")
    _check_host(host, allow_private)
    query = "" if parsed.query is None else f"?{parsed.query}"
    return Target(parsed.scheme, host, port, f"{parsed.path or '/'}{query}")


def _parsed(url: str) -> Url:
    if not isinstance(url, str) or not url or len(url) > CALLBACK_URL_MAX_CHARACTERS:
        raise CallbackError(f"a callback URL must be a string of 1 to {CALLBACK_URL_MAX_CHARACTERS} characters")
    # The parser drops or encodes some of these, and the URL would no longer be what its author meant.
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise CallbackError("the callback URL contains spaces, backslashes or unprintable characters")
    try:
        return Url(url)
    except ValidationError as error:
        raise CallbackError(f"the callback URL is not a valid URL: {error.errors()[0]['msg']}") from None


def _check_host(host: str, allow_private: bool) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.removesuffix(".")
        if not allow_private and (name == "localhost" or name.endswith(".localhost")):
            raise CallbackError(f"callbacks are not sent to {host}, which is this machine") from None
        return
    check_address(address, allow_private=allow_private)


class JobData(BaseModel):
    """The job that a delivery is about, as it was after the change, without its result; times are Unix seconds."""

    message_id: str = Field(description="the id under which the result is kept")
    request_id: str = Field(description="the caller's own name for the job")
    label: str
    status: ResultStatus
    submitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    error: JobFailure | None = Field(None, description="why there will be no result, if that is so")


class JobEvent(BaseModel):
    """The body of a delivery."""

    type: str = Field(description="what happened, for example job.succeeded")
    timestamp: datetime = Field(description="when it happened")
    data: JobData


class Delivery(BaseModel):
    """One status change of one job, on its way to the job's callback URL; encodes and decodes itself for its queue."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="the same in every try, so that receivers can recognize duplicates")
    url: str
    payload: str = Field(description="the JobEvent as it is signed and sent, ASCII JSON")

    @classmethod
    def of(cls, url: str, data: JobData, *, attempt: int, at: float) -> Delivery:
        """The delivery of a job's change to `data.status` at `at` (Unix seconds), in its attempt number `attempt`."""
        if data.error is not None and len(data.error.message) > ERROR_MAX_CHARACTERS:
            short = data.error.message[: ERROR_MAX_CHARACTERS - 1] + "…"
            data = data.model_copy(update={"error": JobFailure(type=data.error.type, message=short)})
        event = JobEvent(type=EVENTS[data.status], timestamp=datetime.fromtimestamp(at, UTC), data=data)
        payload = json.dumps(event.model_dump(mode="json"), separators=(",", ":"))
        return cls(id=f"{data.message_id}-{data.status.value}-{attempt}", url=url, payload=payload)

    def encode(self) -> str:
        """The message body for SQS."""
        return self.model_dump_json()

    @classmethod
    def decode(cls, text: str) -> Delivery:
        """The delivery in a message body. Raises DecodeError for anything that `encode` did not write."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DecodeError(
                f"message is not a delivery of this library (begins with {text[:60]!r}): {error}"
            ) from error


def backoff_seconds(tries: int) -> float:
    """Seconds to wait after `tries` failed tries; 0 after the last one, so that the delivery is dead-lettered at once."""
    if tries > len(WAITS_SECONDS):
        return 0.0
    return WAITS_SECONDS[tries - 1] * random.uniform(1 - JITTER, 1)


def new_secret() -> str:
    """A new secret, `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def keys_of(text: str) -> list[bytes]:
    """The keys of one secret, or of several separated by spaces, the current one first. Raises SettingsError where one is
    invalid.

    No error message contains any part of a secret.
    """
    keys = [_key(secret) for secret in text.split()]
    if not keys:
        raise SettingsError("the webhook secret is empty; make one with `inference-engine webhooks secret`")
    return keys


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SECRET_MIN_BYTES <= len(key) <= SECRET_MAX_BYTES:
        raise SettingsError(
            f"a webhook secret must be {SECRET_PREFIX} followed by base64 of {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes; "
            "make one with `inference-engine webhooks secret`"
        )
    return key


def signed_headers(delivery_id: str, payload: bytes, keys: Sequence[bytes], now: float | None = None) -> dict[str, str]:
    """The headers of one try: the delivery's id, the time of the try, a signature by each key."""
    timestamp = str(int(time.time() if now is None else now))
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, delivery_id, timestamp, payload) for key in keys),
    }


def verify(headers: Mapping[str, str], payload: bytes, secret: str, now: float | None = None) -> None:
    """Verify a delivery before trusting it. Raises CallbackError unless one signature is right and new enough.

    The names of `headers` may be in any case; `secret` may be several, separated by spaces. Raises SettingsError where it is
    not a secret: a mistake of the receiver's own, which no delivery can cause.
    """
    found = {name.lower(): value for name, value in headers.items()}
    delivery_id, timestamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not delivery_id or not _TIMESTAMP.fullmatch(timestamp):
        raise CallbackError("the delivery has no webhook-id, or no webhook-timestamp in seconds")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        raise CallbackError(
            f"the delivery was not signed within {TOLERANCE_SECONDS} s of now: it is too old, or a clock is wrong"
        )
    given = found.get("webhook-signature", "").encode("ascii", "replace").split()
    keys = keys_of(secret)
    try:
        right = [_signature(key, delivery_id, timestamp, payload).encode() for key in keys]
    except UnicodeEncodeError:
        # Servers decode bytes that are not text to surrogates (PEP 383).
        raise CallbackError("the webhook-id of the delivery is not text") from None
    if not any(hmac.compare_digest(one, other) for one in given for other in right):
        raise CallbackError("no signature of the delivery matches: it was changed, or signed with another secret")


def _signature(key: bytes, delivery_id: str, timestamp: str, payload: bytes) -> str:
    digest = hmac.new(key, f"{delivery_id}.{timestamp}.".encode() + payload, sha256).digest()
    return f"v1,{base64.b64encode(digest).decode('ascii')}"
