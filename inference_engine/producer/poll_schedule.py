"""When to poll jobs that a caller waits for: pure rules, learnt from earlier polls. All times in seconds."""

from __future__ import annotations

from ..aio.bounded_dict import BoundedDict

#: A moving line is polled when this fraction of its head should have ended …
HEAD_PART = 0.25
#: … and a stalled one after this fraction of the time since it last moved.
STALLED_PART = 0.1
#: Weight of the newest poll in a line's pace.
PACE_WEIGHT = 0.5
#: Factors for the next job's first poll: later after one that came too early, earlier after one in time. They balance where
#: four polls of five are in time: every fifth job costs one more read, and hardly any result lies waiting.
LATER, EARLIER = 1.10, 0.975
#: Upper bound for the guess learnt from a label's first job.
FIRST_GUESS_MAX_SECONDS = 0.1
#: At most this many labels' latencies are remembered.
LABELS_MAX = 10_000


class Pace:
    """How fast the jobs of one line finish."""

    def __init__(self, now: float) -> None:
        self._moved_at = now
        self._gap: float | None = None

    def saw(self, ended: int, now: float) -> None:
        """Record that a poll at `now` found `ended` finished jobs."""
        if not ended:
            return
        gap = (now - self._moved_at) / ended
        self._gap = gap if self._gap is None else self._gap + PACE_WEIGHT * (gap - self._gap)
        self._moved_at = now

    def next_look(self, jobs: int, now: float) -> float:
        """How long to wait before polling `jobs` jobs again."""
        stood = STALLED_PART * (now - self._moved_at)
        return stood if self._gap is None else max(stood, self._gap * jobs * HEAD_PART)


class Latencies:
    """For each label, how long a job posted alone takes: a bit more than the median, robust against label misses."""

    def __init__(self) -> None:
        self._seconds: BoundedDict[str, float] = BoundedDict(LABELS_MAX)

    def first_look(self, label: str) -> float:
        """How long after the post to poll first; 0 for an unknown label."""
        return self._seconds.get(label, 0.0)

    def looked(self, label: str, *, in_time: bool) -> None:
        """Record a first poll; `in_time` means that the job had finished by then."""
        if (known := self._seconds.get(label)) is not None:
            self._seconds[label] = known * (EARLIER if in_time else LATER)

    def ended(self, label: str, seconds: float) -> None:
        """Record how long a job posted alone took, as far as two machines' clocks tell. Only a label's first job counts."""
        if label not in self._seconds:
            # It may have been a label miss: later jobs must not wait that long for their first poll.
            self._seconds[label] = min(seconds, FIRST_GUESS_MAX_SECONDS)
