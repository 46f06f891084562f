"""When to look at jobs that somebody waits for: pure rules, learnt from earlier looks. All times in seconds."""

from __future__ import annotations

from collections import OrderedDict

#: A line that moves is looked at when this part of its head should have ended …
HEAD_PART = 0.25
#: … and what does not move, after this part of the time since it last did.
PATIENCE = 0.1
#: Weight of the newest look in a line's pace.
PACE_WEIGHT = 0.5
#: After a first look that came too early the next job's comes so much later; after one in time, so much earlier. They balance
#: where four looks of five are in time: one read more for every fifth job, and hardly a result that lay waiting.
LATER, EARLIER = 1.10, 0.975
#: What the first job of a label can teach at most.
FIRST_GUESS_MAX_SECONDS = 0.1
#: Labels whose latency is remembered.
LABELS_MAX = 10_000


class Pace:
    """How fast the jobs of one line end."""

    def __init__(self, now: float) -> None:
        self._moved_at = now
        self._gap: float | None = None

    def saw(self, ended: int, now: float) -> None:
        """A look at `now` found `ended` jobs that are over."""
        if not ended:
            return
        gap = (now - self._moved_at) / ended
        self._gap = gap if self._gap is None else self._gap + PACE_WEIGHT * (gap - self._gap)
        self._moved_at = now

    def next_look(self, jobs: int, now: float) -> float:
        """How long to wait before looking again at `jobs` jobs."""
        stood = PATIENCE * (now - self._moved_at)
        return stood if self._gap is None else max(stood, self._gap * jobs * HEAD_PART)


class Latencies:
    """How long a job takes that was posted alone, for each label: a bit more than the median, robust against label misses."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[str, float] = OrderedDict()

    def first_look(self, label: str) -> float:
        """How long after the post to look first; 0 for a label of which nothing is known."""
        return self._seconds.get(label, 0.0)

    def looked(self, label: str, *, in_time: bool) -> None:
        """A first look was made; `in_time` when the job was over by then."""
        if (known := self._seconds.get(label)) is not None:
            self._learn(label, known * (EARLIER if in_time else LATER))

    def ended(self, label: str, seconds: float) -> None:
        """A job that was posted alone took so long, as far as clocks of two machines tell; the first one is a first guess."""
        if label not in self._seconds:
            # It may have been a label miss: the others must not wait for their first look as long as it took.
            self._learn(label, min(seconds, FIRST_GUESS_MAX_SECONDS))

    def _learn(self, label: str, seconds: float) -> None:
        self._seconds[label] = seconds
        self._seconds.move_to_end(label)
        if len(self._seconds) > LABELS_MAX:
            self._seconds.popitem(last=False)
