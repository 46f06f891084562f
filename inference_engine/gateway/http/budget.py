"""How many bytes of request bodies a process holds at once, read and unpacked, until they are released."""

from __future__ import annotations

import sys

from starlette.requests import HTTPConnection

from .problems import Problem, later

#: Bodies of callers that do not wait are released within a second or so.
BUSY_RETRY_SECONDS = 2.0


class Budget:
    """`max_bytes` for the bodies of all requests that are not answered yet, and of jobs that are not posted yet."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def room_for(self, size_bytes: int) -> bool:
        """Whether this many bytes more may be held."""
        return self.held_bytes + size_bytes <= self.max_bytes


class Share:
    """One request body's share of the budget, held until its request is over and its job has been posted.

    A job is still posted when its caller has left meanwhile.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self._posting = False
        self._over = False

    def check(self, size_bytes: int) -> None:
        """Raises Problem 503 where there is no room for a total of `size_bytes`."""
        if not self._budget.room_for(size_bytes - self.held_bytes):
            raise busy(self._budget.max_bytes)

    def grow(self, size_bytes: int) -> None:
        """Hold a total of `size_bytes`, unless it is more already. Raises Problem 503, and then holds what it held."""
        self.check(size_bytes)
        more = max(0, size_bytes - self.held_bytes)
        self.held_bytes += more
        self._budget.held_bytes += more

    def posting(self) -> None:
        """Mark that a job with this body is about to be posted."""
        self._posting = True

    def posted(self) -> None:
        """Mark that the body is no longer held for posting; a second call does nothing."""
        self._posting = False
        self._give_back()

    def release(self) -> None:
        """Mark that the request is over."""
        self._over = True
        self._give_back()

    def _give_back(self) -> None:
        if self._over and not self._posting:
            self._budget.held_bytes -= self.held_bytes
            self.held_bytes = 0


def busy(max_bytes: int) -> Problem:
    """Problem 503: other requests' bodies leave no room."""
    detail = (
        f"no room for this body: the bodies of unanswered requests may take {max_bytes} bytes in all (bodies_max_bytes)"
    )
    return later(503, "busy", detail, BUSY_RETRY_SECONDS)


def unbounded() -> Share:
    """A share of a budget with room for everything, for requests that no BodyLimit has seen."""
    return Share(Budget(sys.maxsize))


def share_of(request: HTTPConnection) -> Share:
    """A request body's share of the budget."""
    share: Share | None = getattr(request.state, "body_share", None)
    return unbounded() if share is None else share


def hold(request: HTTPConnection, size_bytes: int) -> None:
    """Count a request's body at its unpacked size. Raises Problem 503."""
    share_of(request).grow(size_bytes)
