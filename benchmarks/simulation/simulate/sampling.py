"""Which part of the program uses the processor, by samples of the stack."""

from __future__ import annotations

import signal
from collections import Counter
from types import FrameType, TracebackType
from typing import Self

from inference_engine.aws import tables
from inference_engine.consumer import membership, placer
from inference_engine.fleet import load_requests, placement, registry, view
from inference_engine.producer import routes

from .. import aws
from . import backend

#: Processor time between two samples.
SAMPLE_SECONDS = 0.002

_SIMULATOR = (aws.__path__[0], backend.__file__)
_DECIDING = tuple(
    module.__file__ for module in (view, placement, registry, load_requests, tables, placer, membership, routes)
)


class CpuSampler:
    """Counts samples of this process by part: `deciding`, `simulator` and `other`.

    Deciding is all that the library does to place labels: the registry's rows, the order of consumers, load requests, and
    how a producer finds out whether any consumer holds a label. Use it in the main thread, as a context manager.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self._parts: dict[str, str] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)

    def seconds(self, part: str) -> float:
        """Processor seconds spent on a part."""
        return self.samples[part] * SAMPLE_SECONDS

    def _sample(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if part := self._part(frame.f_code.co_filename):
                self.samples[part] += 1
                return
            frame = frame.f_back
        self.samples["other"] += 1

    def _part(self, file: str) -> str:
        """The part that a source file belongs to; '' for files that count towards their caller."""
        if file not in self._parts:
            if file.startswith(_SIMULATOR):
                self._parts[file] = "simulator"
            elif file in _DECIDING:
                self._parts[file] = "deciding"
            else:
                self._parts[file] = ""
        return self._parts[file]
