"""Where a request comes from: pages of other sites are kept away from gateways without keys; addresses behind a load balancer.

Plain ASGI, so that streams stay streams.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import Problem

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_FORWARDED = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?|([0-9a-f:.]+)", re.IGNORECASE)


class LoopbackGuard:
    """Keeps web pages away from a gateway without keys: any page in a browser on this machine can send it requests.

    A page whose own host name resolves to 127.0.0.1 sends that name in its Host header; requests from pages of other origins
    say so in Sec-Fetch-Site (Fetch Metadata Request Headers) and Origin. Both are rejected with 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _foreign(Headers(scope=scope))):
            problem = Problem(403, "not-from-this-machine", refusal)
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _foreign(headers: Headers) -> str | None:
    """Why a request may come from another site's page; None where it does not."""
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not names_loopback(host):
        return f"host {host[:100]!r} does not name this machine: without API keys, use http://127.0.0.1 or http://localhost"
    if headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        return "without API keys, pages of other sites may not send requests here"
    same = (f"http://{host}".lower(), f"https://{host}".lower())
    if any(origin.lower() not in same for origin in headers.getlist("origin")):
        return "without API keys, pages of other origins may not send requests here"
    return None


def names_loopback(authority: str) -> bool:
    """Whether a Host header names loopback: 127.0.0.0/8, ::1 or localhost, with any port."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return False
    host = match[1].lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ForwardedAddress:
    """Takes the caller's address from the end of X-Forwarded-For, where the load balancer in front has put it.

    Earlier addresses are only the caller's claim. The connection's address stays where the last entry is no IP address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
            if address := _address(forwarded.rpartition(",")[2].strip()):
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)


def _address(text: str) -> str | None:
    """The IP address in `address`, `address:port` (IPv4) or `[address]:port`; None where there is none."""
    match = _FORWARDED.fullmatch(text)
    try:
        return str(ipaddress.ip_address(match[match.lastindex or 0])) if match else None
    except ValueError:
        return None
