"""Which receivers get no requests for a while, because several tries in a row timed out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..aio.bounded_dict import BoundedDict
from ..errors import CallbackError
from .rules import Target

#: A receiver is put off after this many tries in a row without an answer: that many may fail together, in one batch.
SILENT_TRIES = 5
#: Time between two tries that probe whether it answers again; longer than any try takes.
PUT_OFF_SECONDS = 60.0
#: How many receivers are remembered, the most recently silent ones: strangers choose them, so there is a limit.
RECEIVERS = 1000


class PutOffError(CallbackError):
    """The receiver gets no requests for now."""


@dataclass(slots=True)
class _Silence:
    tries: int = 0
    until: float = 0.0


class Breaker:
    """Fails tries at once to hosts that hang, where each would otherwise hold a thread for its whole timeout.

    Its state is of this process alone, for one event loop. `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent: BoundedDict[tuple[str, int], _Silence] = BoundedDict(RECEIVERS)

    @contextlib.contextmanager
    def asking(self, target: Target) -> Iterator[None]:
        """Wraps one try. Raises PutOffError instead, where the host is put off and this try is not the one that probes it."""
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
            # A quick refusal, which delays nobody.
            self._silent.pop(receiver, None)
            raise
        self._silent.pop(receiver, None)

    def _was_silent(self, receiver: tuple[str, int]) -> None:
        silence = self._silent.get(receiver, _Silence())
        self._silent[receiver] = _Silence(silence.tries + 1, self._clock() + PUT_OFF_SECONDS)
