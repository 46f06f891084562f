"""The label that a request names."""

from __future__ import annotations

from fastapi import Request

from ...labels import check_label
from ..auth.caller import Caller


def use_label(label: str, request: Request, caller: Caller) -> None:
    """Let only a valid label pass, and record it in the access log. Raises InvalidLabelError; Problem 403 where not allowed."""
    caller.check(check_label(label))
    request.state.label = label
