"""How many bytes of requests' bodies a process holds at once: read, and unpacked, until the requests are answered."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from .problems import Problem, later

#: Bodies of callers who do not wait go within a second or so.
BUSY_RETRY_SECONDS = 2.0


class Budget:
    """`max_bytes` for the bodies of all requests that are not answered yet."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more may be held."""
        return self.held_bytes + size_bytes <= self.max_bytes


class Share:
    """What one request holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held_bytes = 0

    def check(self, size_bytes: int) -> None:
        """Raises Problem 503 where there is no room for so many bytes in all."""
        if not self._budget.room_for(size_bytes - self._held_bytes):
            raise busy(self._budget.max_bytes)

    def grow(self, size_bytes: int) -> None:
        """Hold so many bytes in all, unless it is more already. Raises Problem 503, and holds what it held."""
        self.check(size_bytes)
        more = max(0, size_bytes - self._held_bytes)
        self._held_bytes += more
        self._budget.held_bytes += more

    def release(self) -> None:
        """Hold nothing any more."""
        self._budget.held_bytes -= self._held_bytes
        self._held_bytes = 0


def busy(max_bytes: int) -> Problem:
    """Problem 503: other requests' bodies leave no room."""
    detail = f"the bodies of requests that are not answered yet take {max_bytes} bytes already (bodies_max_bytes)"
    return later(503, "busy", detail, BUSY_RETRY_SECONDS)


def hold(request: HTTPConnection, size_bytes: int) -> None:
    """Count a request's body with its unpacked size. Raises Problem 503."""
    share: Share | None = getattr(request.state, "body_share", None)
    if share is not None:
        share.grow(size_bytes)
