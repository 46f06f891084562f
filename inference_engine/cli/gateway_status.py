"""Reads a gateway's status over HTTP, with only the standard library."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ..errors import SettingsError, TransportError
from ..gateway.dispatch.stats import StatusData

KEY_VARIABLE = "INFERENCE_ENGINE_API_KEY"
TIMEOUT_SECONDS = 15.0
#: Enough for thousands of labels, with room to spare.
ANSWER_MAX_BYTES = 64 * 1024 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the key is for the gateway that was named, not for where it points."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def check_url(text: str) -> str:
    """The base URL of a gateway, without a slash at its end. Raises SettingsError where `text` is not such a URL."""
    if "@" in text:  # before an error quotes the URL
        raise SettingsError(f"a key does not belong in the URL: set {KEY_VARIABLE}")
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or not text.isascii() or any(one <= " " for one in text):
        raise SettingsError(
            f"{text!r} is not the URL of a gateway; write http://127.0.0.1:8000, or https://… with its host name"
        )
    return text.rstrip("/")


def read_status(url: str) -> StatusData:
    """What the status page at `url` shows, requested with the operator's key in INFERENCE_ENGINE_API_KEY, if that is set.

    Raises TransportError for any other answer or none, as where AWS does not answer, and SettingsError for an impossible key.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(f"{KEY_VARIABLE} contains characters that a key cannot contain")
    headers = {"X-API-Key": key} if key else {}
    request = urllib.request.Request(f"{url}/ui/data", headers=headers)  # noqa: S310 - check_url lets only HTTP through
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return StatusData.model_validate_json(answer.read(ANSWER_MAX_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            raise TransportError(f"{url} answers {error.code}: {_detail(error)}") from error
    except ValidationError as error:
        raise TransportError(f"the server at {url} is not a gateway, or is one of another version") from error
    # UnicodeError: from an impossible host name.
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise TransportError(f"no gateway answers at {url}: {reason}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        detail = str(json.loads(error.read(ANSWER_MAX_BYTES))["detail"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        detail = str(error.reason)
    return f"{detail}; set {KEY_VARIABLE} to an operator's key" if error.code in (401, 403) else detail
