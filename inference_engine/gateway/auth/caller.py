"""Who calls, how urgently, and for how long: what every route knows of its request."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field

from ..http.body_limit import Share, unbounded
from ..http.problems import Problem


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request. Without keys there is one caller, who may do everything.

    `labels` are shell-style patterns, None for every label. `priority` is the caller's default, and the highest that it may
    request. An `operator` may pause the gateway, upload models and see the whole fleet.
    """

    key_id: str = ""
    name: str = ""
    labels: tuple[str, ...] | None = None
    priority: int = 0
    operator: bool = True

    def allows(self, label: str) -> bool:
        """Whether the caller may use a label."""
        return self.labels is None or any(fnmatch.fnmatchcase(label, pattern) for pattern in self.labels)

    def check(self, label: str) -> None:
        """Raises Problem 403 where the caller may not use the label."""
        if not self.allows(label):
            raise Problem(403, "label-not-allowed", f"this API key may not use label {label!r}")

    def check_operator(self) -> None:
        """Raises Problem 403 where the caller is not an operator."""
        if not self.operator:
            raise Problem(
                403,
                "not-an-operator",
                "this needs an operator's API key; create one: inference-engine keys create --operator NAME",
            )


#: A caller without any rights.
NOBODY = Caller(labels=(), operator=False)


@dataclass(frozen=True, slots=True)
class Context:
    """One request. Callers get equal turns, and so do the flows of one caller; times are in seconds, sizes in bytes.

    `share` is its body's share of the budget.
    """

    caller: Caller
    priority: int
    flow: str
    timeout_seconds: float
    request_id: str
    size_bytes: int = 0
    share: Share = field(default_factory=unbounded, compare=False, repr=False)
