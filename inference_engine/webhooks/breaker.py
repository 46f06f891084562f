"""Which receivers are not asked for a while, because try after try at them ended without an answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..callbacks import Target
from ..errors import CallbackError

#: Tries in a row without an answer, after which a receiver is put off: as many may go wrong together, in one batch.
SILENT_TRIES = 5
#: Between two tries that find out whether it answers again; longer than any of them takes.
PUT_OFF_SECONDS = 60.0
#: Receivers that are remembered, the last to be silent: strangers choose them.
RECEIVERS = 1000


class PutOffError(CallbackError):
    """The receiver is not asked for now."""


@dataclass(slots=True)
class _Silence:
    tries: int = 0
    until: float = 0.0


class Breaker:
    """Has tries fail at once at hosts that hang, where each would hold for its whole time a place that others wait for.

    Of this process alone, for one event loop. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent: dict[tuple[str, int], _Silence] = {}

    @contextlib.contextmanager
    def asking(self, target: Target) -> Iterator[None]:
        """For the length of a try. Raises PutOffError instead, where the host is put off and another try finds out about it."""
        receiver = (target.host, target.port)
        silence = self._silent.get(receiver)
        if silence is not None and silence.tries >= SILENT_TRIES:
            if self._clock() < silence.until:
                raise PutOffError(
                    f"{target.host}:{target.port} is put off: {silence.tries} tries in a row had no answer"
                )
            silence.until = self._clock() + PUT_OFF_SECONDS
        try:
            yield
        except TimeoutError:
            self._was_silent(receiver)
            raise
        except Exception:
            # It refused, and quickly: that holds nobody up.
            self._silent.pop(receiver, None)
            raise
        self._silent.pop(receiver, None)

    def _was_silent(self, receiver: tuple[str, int]) -> None:
        silence = self._silent.pop(receiver, None) or _Silence()
        self._silent[receiver] = _Silence(silence.tries + 1, self._clock() + PUT_OFF_SECONDS)
        if len(self._silent) > RECEIVERS:
            del self._silent[next(iter(self._silent))]
