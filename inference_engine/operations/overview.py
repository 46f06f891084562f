"""What operators see of a deployment: labels, consumers, and totals. Values without I/O.

Rates come from two readings. Consumers write their counters with their rows, so a rate is what was counted between two rows of a
consumer, divided by the time between them: it does not depend on how often somebody looks. A ConsumerRow carries the counts
from which its next rate is computed (`since`). A LabelRow carries when the label was last seen without jobs (`quiet_at`): none of
its jobs is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..fleet.view import ConsumerState, ConsumerView, Fleet, LoadFailure
from .backlog import LabelWork, label_seconds

#: A rate over less time says little: consumers write a row whenever they gain or lose a label.
RATE_MIN_SECONDS = 4.0
#: With more labels than slots, labels take turns of half a minute or more each (`turn_min_seconds`). A label without a holder
#: needs attention only where its jobs wait longer than this, or where there are no consumers at all.
TURN_SECONDS = 60.0

LabelState = Literal["failing", "unserved", "unheld", "loading", "loaded", "idle"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class FailureRow(_Row):
    """Why a label's model is not loaded."""

    tries: int = Field(description="failures to load it in a row")
    reason: str = Field(description="error of the last failure")
    seconds_left: float = Field(description="seconds until it may be tried again")


class LabelRow(_Row):
    """One label; what no consumer has measured is null."""

    label: str
    state: LabelState = Field(
        description="`failing` to load; `unserved`: jobs wait and no consumer will take them; `unheld`: jobs are in flight at a "
        "consumer that is leaving or died; `loading`; `loaded`; `idle`"
    )
    visible: int = Field(description="jobs that wait")
    in_flight: int = Field(description="jobs that a consumer has")
    oldest_age_seconds: float | None = Field(description="age of its oldest unfinished job")
    backlog_seconds: float = Field(description="one consumer's time that its unfinished jobs cost, in seconds")
    hosts: int = Field(description="live consumers that hold it")
    lanes: int = Field(description="consumers that may work on it at once")
    jobs_per_second: float | None = Field(description="jobs that ended, by its consumers' counters")
    busy: float | None = Field(description="fraction of its holders' time that its jobs took recently; 1 is all of it")
    task_seconds: float | None = Field(description="how much of a consumer's time a job takes")
    service_seconds: float | None = Field(description="how long a job takes")
    load_seconds: float | None = Field(description="how long its model takes to load")
    failure: FailureRow | None = None
    needs_attention: bool = Field(description="whether it fails to load, or its jobs have waited long for a consumer")
    quiet_at: float | None = Field(None, exclude=True, repr=False)


class HeldLabelRow(_Row):
    """A label that a consumer has loaded."""

    jobs: int = Field(description="jobs of it that ended here")
    jobs_per_second: float | None = None


class Counts(_Row):
    """A consumer's counters in one of its rows; `until` is when that row's lease ends, which tells rows apart."""

    until: float
    jobs: int
    labels: dict[str, int]


class ConsumerRow(_Row):
    """One consumer, from its row in the registry."""

    consumer_id: str
    state: ConsumerState = Field(
        description="`alive`, `draining` (it takes no more jobs), or `gone`: its lease ran out"
    )
    slots: int = Field(description="labels that it can hold, including those that it holds")
    free_slots: int
    in_flight: int = Field(description="unfinished jobs that it has now")
    jobs: int = Field(description="jobs that ended since it started")
    misses: int = Field(description="loads that a job had to wait for since it started")
    jobs_per_second: float | None
    lease_seconds_left: float = Field(description="seconds until it counts as gone, unless it renews its lease")
    loaded: dict[str, HeldLabelRow]
    loading: tuple[str, ...]
    since: Counts = Field(Counts(until=0.0, jobs=0, labels={}), exclude=True, repr=False)


class Totals(_Row):
    """Sums over all labels and all consumers whose lease has not run out; slots only of those that are not draining."""

    consumers: int = Field(description="consumers that are alive and not draining")
    draining: int
    slots: int
    free_slots: int
    labels_with_work: int
    unserved: int = Field(description="labels with waiting jobs and no consumer")
    failing: int = Field(description="labels whose model recently could not be loaded")
    visible: int
    in_flight: int
    backlog_seconds: float
    oldest_age_seconds: float | None
    jobs_per_second: float | None
    jobs: int
    misses: int
    misses_per_job: float | None


class Overview(_Row):
    """Everything at one moment (`at`, Unix seconds): labels ordered by name, consumers by id."""

    at: float
    totals: Totals
    labels: tuple[LabelRow, ...]
    consumers: tuple[ConsumerRow, ...]
    unread: tuple[str, ...] = Field(
        (), description="labels whose queue did not answer: nothing is known about their jobs"
    )

    @classmethod
    def of(
        cls,
        fleet: Fleet,
        labels: Sequence[LabelWork],
        failures: Iterable[LoadFailure],
        *,
        now: float,
        before: Overview | None = None,
        unread: tuple[str, ...] = (),
    ) -> Overview:
        """The overview of what was read; rates are null without `before`, the overview of an earlier reading."""
        known = {row.consumer_id: row for row in before.consumers} if before else {}
        consumers = tuple(
            _consumer(view, known.get(view.consumer_id), now)
            for view in sorted(fleet.consumers, key=lambda view: view.consumer_id)
        )
        failing = {failure.label: _failure(failure, now) for failure in failures if failure.until > now}
        works = _with_failing(labels, failing)
        with_work = (work for work in works if work.jobs)
        seconds = {work.label: cost for work, cost in zip(with_work, label_seconds(works), strict=True)}
        quiet = {row.label: row.quiet_at for row in before.labels} if before else {}
        there = [row for row in consumers if row.state != "gone"]
        held = _held(there)
        rows = tuple(
            _label(
                work,
                fleet,
                held.get(work.label, ()),
                anybody=bool(there),
                failure=failing.get(work.label),
                backlog_seconds=seconds.get(work.label, 0.0),
                quiet_at=quiet.get(work.label) if work.jobs else now,
                now=now,
            )
            for work in works
        )
        return cls(at=now, totals=_totals(rows, consumers), labels=rows, consumers=consumers, unread=unread)


def _consumer(view: ConsumerView, before: ConsumerRow | None, now: float) -> ConsumerRow:
    counts = Counts(
        until=view.lease_until, jobs=view.jobs, labels={label: one.jobs for label, one in view.loaded.items()}
    )
    since = before.since if before and before.since.jobs <= counts.jobs else counts
    seconds = counts.until - since.until
    if seconds >= RATE_MIN_SECONDS:
        rate: float | None = _rate(counts.jobs, since.jobs, seconds)
        rates = {label: _rate(jobs, since.labels.get(label), seconds) for label, jobs in counts.labels.items()}
        since = counts
    else:
        # Still the same row, or one that came too soon: keep the known rates, unless the consumer restarted.
        known = before if since is not counts else None
        rate = known.jobs_per_second if known else None
        rates = {label: held.jobs_per_second for label, held in known.loaded.items()} if known else {}
    return ConsumerRow(
        consumer_id=view.consumer_id,
        state=view.state(now),
        slots=view.slots,
        free_slots=view.free_slots,
        in_flight=view.in_flight,
        jobs=view.jobs,
        misses=view.misses,
        jobs_per_second=rate,
        lease_seconds_left=round(view.lease_until - now, 3),
        loaded={
            label: HeldLabelRow(jobs=jobs, jobs_per_second=rates.get(label))
            for label, jobs in sorted(counts.labels.items())
        },
        loading=tuple(sorted(view.loading)),
        since=since,
    )


def _rate(count: int, before: int | None, seconds: float) -> float | None:
    return None if before is None else round((count - before) / seconds, 3)


def _failure(failure: LoadFailure, now: float) -> FailureRow:
    return FailureRow(tries=failure.tries, reason=failure.reason, seconds_left=round(failure.until - now, 3))


def _with_failing(labels: Sequence[LabelWork], failing: Mapping[str, FailureRow]) -> list[LabelWork]:
    """The labels by name, including those that fail to load and have no work any more."""
    known = {work.label: work for work in labels}
    missing = {label: LabelWork(label) for label in failing if label not in known}
    return [work for _, work in sorted((known | missing).items())]


def _held(consumers: Iterable[ConsumerRow]) -> dict[str, list[HeldLabelRow]]:
    """For each label, what each consumer that has it loaded reports."""
    found: dict[str, list[HeldLabelRow]] = {}
    for row in consumers:
        for label, one in row.loaded.items():
            found.setdefault(label, []).append(one)
    return found


def _label(
    work: LabelWork,
    fleet: Fleet,
    held: Iterable[HeldLabelRow],
    *,
    anybody: bool,
    failure: FailureRow | None,
    backlog_seconds: float,
    quiet_at: float | None,
    now: float,
) -> LabelRow:
    told = [view.loaded[work.label] for view in fleet.holders(work.label, now) if work.label in view.loaded]
    age = _age(work, quiet_at, now)
    return LabelRow(
        label=work.label,
        state=_state(work, failing=failure is not None),
        visible=work.visible,
        in_flight=work.in_flight,
        oldest_age_seconds=age,
        backlog_seconds=round(backlog_seconds, 3),
        hosts=work.holders,
        lanes=work.lanes,
        jobs_per_second=_sum(one.jobs_per_second for one in held),
        busy=round(work.busy / len(told), 4) if told else None,
        task_seconds=work.task_seconds,
        service_seconds=_mean(one.service_seconds for one in told if one.service_seconds),
        load_seconds=work.load_seconds,
        failure=failure,
        needs_attention=failure is not None or (work.unserved and (not anybody or (age or 0.0) >= TURN_SECONDS)),
        quiet_at=quiet_at,
    )


def _age(work: LabelWork, quiet_at: float | None, now: float) -> float | None:
    """The age of the label's oldest job in seconds; `oldest_at` may be from a wait that ended before `quiet_at`."""
    if not work.jobs or work.oldest_at is None:
        return None
    return round(max(0.0, now - max(work.oldest_at, quiet_at or 0.0)), 3)


def _state(work: LabelWork, *, failing: bool) -> LabelState:
    if failing and not work.loaded:
        return "failing"
    if work.unserved:
        return "unserved"
    if work.holders:
        return "loaded" if work.loaded else "loading"
    return "unheld" if work.in_flight else "idle"


def _totals(labels: Sequence[LabelRow], consumers: Sequence[ConsumerRow]) -> Totals:
    there = [row for row in consumers if row.state != "gone"]
    alive = [row for row in there if row.state == "alive"]
    jobs, misses = sum(row.jobs for row in there), sum(row.misses for row in there)
    return Totals(
        consumers=len(alive),
        draining=len(there) - len(alive),
        slots=sum(row.slots for row in alive),
        free_slots=sum(row.free_slots for row in alive),
        labels_with_work=sum(row.visible + row.in_flight > 0 for row in labels),
        unserved=sum(row.visible > 0 and not row.hosts for row in labels),
        failing=sum(row.failure is not None for row in labels),
        visible=sum(row.visible for row in labels),
        in_flight=sum(row.in_flight for row in labels),
        backlog_seconds=round(sum(row.backlog_seconds for row in labels), 3),
        oldest_age_seconds=max(
            (row.oldest_age_seconds for row in labels if row.oldest_age_seconds is not None), default=None
        ),
        jobs_per_second=_sum(row.jobs_per_second for row in there),
        jobs=jobs,
        misses=misses,
        misses_per_job=round(misses / jobs, 6) if jobs else None,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
