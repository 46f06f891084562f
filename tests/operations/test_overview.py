"""What is shown of a deployment: states, sums, and rates between two readings."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.fleet import view as fleet_module
from inference_engine.fleet.view import ConsumerView, Fleet, LabelStatistics, LoadFailure
from inference_engine.operations.backlog import LabelWork, label_work
from inference_engine.operations.overview import TURN_SECONDS, LabelRow, Overview

NOW = 1000.0


def failed(label: str, until: float = NOW + 30) -> LoadFailure:
    return LoadFailure(label, 2, "ModelLoadError: no such key", until)


def view(name: str, *, at: float = NOW, **fields: Any) -> ConsumerView:
    """A row that was written at `at` with a lease of 30 seconds; `loaded` may be counts of jobs by label."""
    counts = fields.pop("loaded", {})
    loaded = {label: LabelStatistics(jobs=count, task_seconds=0.5) for label, count in counts.items()}
    return ConsumerView(**{"consumer_id": name, "lease_until": at + 30, "loaded": loaded} | fields)


def works(fleet: Fleet, *backlogs: tuple[str, int, int]) -> list[LabelWork]:
    return [
        label_work(label, visible, in_flight, lanes=1, fleet=fleet, waits_since=None, now=NOW)
        for label, visible, in_flight in backlogs
    ]


def overview(*views: ConsumerView, work: list[LabelWork] | None = None, before: Overview | None = None) -> Overview:
    return Overview.of(Fleet(views, NOW), work or [], (), now=NOW, before=before)


def rates(shown: Overview) -> list[float | None]:
    return [row.jobs_per_second for row in shown.consumers]


# --- rates ---------------------------------------------------------------------------------------------------------------


def test_a_rate_is_what_was_counted_between_two_rows() -> None:
    first = overview(view("a", at=NOW - 10, jobs=100))
    assert rates(first) == [None]
    assert rates(overview(view("a", at=NOW - 5, jobs=150), before=first)) == [10.0]


def test_how_often_one_looks_does_not_change_a_rate() -> None:
    shown = overview(view("a", at=NOW - 10, jobs=100))
    row = view("a", at=NOW - 5, jobs=150)
    for _ in range(4):
        shown = overview(row, before=shown)
        assert rates(shown) == [10.0]
    assert rates(overview(view("a", at=NOW, jobs=150), before=shown)) == [0.0]


def test_rows_that_come_soon_after_each_other_share_a_rate() -> None:
    """A consumer writes its row whenever it gets or loses a label: rates over moments would jump."""
    first = overview(view("a", at=NOW - 10, jobs=100, loaded={"red": 100}))
    soon = overview(view("a", at=NOW - 9, jobs=140, loaded={"red": 140, "blue": 0}), before=first)
    assert rates(soon) == [None]
    later = overview(view("a", at=NOW - 5, jobs=150, loaded={"red": 145, "blue": 5}), before=soon)
    assert rates(later) == [10.0]
    assert {label: held.jobs_per_second for label, held in later.consumers[0].loaded.items()} == {
        "blue": None,
        "red": 9.0,
    }
    assert rates(overview(view("a", at=NOW - 4, jobs=150), before=later)) == [10.0]


def test_a_consumer_that_began_anew_has_no_rate_at_first() -> None:
    before = overview(view("a", at=NOW - 10, jobs=100))
    again = overview(view("a", at=NOW - 5, jobs=3), before=before)
    assert rates(again) == [None]
    assert rates(overview(view("a", at=NOW, jobs=8), before=again)) == [1.0]


def test_a_labels_rate_is_that_of_all_its_consumers() -> None:
    def fleet(at: float, jobs: int) -> tuple[ConsumerView, ...]:
        return view("a", at=at, loaded={"red": jobs}), view("b", at=at, loaded={"red": 2 * jobs, "blue": 7})

    work = works(Fleet(fleet(NOW, 0)), ("red", 0, 0), ("blue", 0, 0))
    before = overview(*fleet(NOW - 10, 10), work=work)
    shown = overview(*fleet(NOW, 20), work=work, before=before)
    assert {row.label: row.jobs_per_second for row in shown.labels} == {"red": 3.0, "blue": 0.0}


def test_the_rate_of_all_leaves_out_who_is_gone() -> None:
    before = overview(view("a", at=NOW - 10), view("b", at=NOW - 50))
    shown = overview(view("a", jobs=20), view("b", at=NOW - 40, jobs=50), before=before)
    assert rates(shown) == [2.0, 5.0]
    assert shown.totals.jobs_per_second == 2.0


# --- who holds a label ---------------------------------------------------------------------------------------------------

labels = st.text("abc", min_size=1, max_size=1)
views = st.builds(
    ConsumerView,
    consumer_id=st.text("abcdef", min_size=1, max_size=3),
    lease_until=st.floats(NOW - 2, NOW + 2),
    loading=st.lists(labels, max_size=3).map(tuple),
    loaded=st.dictionaries(labels, st.just(LabelStatistics()), max_size=3),
    draining=st.booleans(),
)


@given(st.lists(views, max_size=8), labels, st.lists(st.floats(NOW - 3, NOW + 3), max_size=3))
def test_holders_are_those_who_live_and_hold_the_label_at_any_time(
    rows: list[ConsumerView], label: str, times: list[float]
) -> None:
    fleet = Fleet(tuple(rows), NOW)
    for now in times:
        for asked in (label, "another", label):
            plain = [row for row in rows if row.lease_until > now and not row.draining and row.holds(asked)]
            found = fleet.holders(asked, now)
            assert found == plain
            found.clear()  # the list is the caller's own
    assert fleet == Fleet(tuple(rows), NOW), "what was asked is no part of a fleet's value"


def test_a_fleet_is_looked_through_once_for_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Mock(wraps=fleet_module._holders)
    monkeypatch.setattr(fleet_module, "_holders", looks)
    fleet = Fleet((view("a", loaded={"red": 1, "blue": 2}), view("b", loading=("red",))), NOW)
    assert len(fleet.holders("red", NOW)) == 2
    assert looks.call_count == 0, "one answer is not worth it"
    shown = Overview.of(fleet, works(fleet, ("red", 1, 0), ("blue", 1, 0), ("green", 1, 0)), (), now=NOW)
    assert [(row.label, row.hosts) for row in shown.labels] == [("blue", 1), ("green", 0), ("red", 2)]
    assert looks.call_count == 1


# --- states --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backlog", "row", "state"),
    [
        ((0, 0), {}, "idle"),
        ((3, 0), {}, "unserved"),
        ((0, 2), {}, "unheld"),
        ((0, 2), {"loaded": {"red": 1}, "draining": True}, "unheld"),
        ((3, 0), {"loading": ("red",)}, "loading"),
        ((3, 1), {"loaded": {"red": 1}}, "loaded"),
        ((3, 1), {"loaded": {"red": 1}, "at": NOW - 31}, "unserved"),
    ],
)
def test_state_of_a_label(backlog: tuple[int, int], row: dict[str, Any], state: str) -> None:
    fleet = Fleet((view("a", **row),), NOW)
    (shown,) = Overview.of(fleet, works(fleet, ("red", *backlog)), (), now=NOW).labels
    assert shown.state == state


def test_a_label_that_fails_is_shown_with_its_reason_until_it_may_be_tried_again() -> None:
    def shown(*failures: LoadFailure) -> list[LabelRow]:
        return list(Overview.of(Fleet(), [LabelWork("red", visible=1)], failures, now=NOW).labels)

    blue, red = shown(failed("blue"), failed("red", until=NOW - 1))
    assert (blue.label, blue.state, blue.visible) == ("blue", "failing", 0)
    assert blue.failure is not None
    assert (blue.failure.tries, blue.failure.reason, blue.failure.seconds_left) == (
        2,
        "ModelLoadError: no such key",
        30,
    )
    assert (red.state, red.failure) == ("unserved", None)


def test_a_label_that_failed_elsewhere_but_is_loaded_here_is_loaded() -> None:
    fleet = Fleet((view("a", loaded={"red": 1}),), NOW)
    shown = Overview.of(fleet, works(fleet, ("red", 1, 0)), [failed("red")], now=NOW)
    assert shown.labels[0].state == "loaded"
    assert shown.totals.failing == 1


def test_labels_that_take_turns_need_nobody() -> None:
    """With more labels than slots it is usual that jobs wait for a slot for a while."""

    def needs(fleet: Fleet, work: LabelWork) -> bool:
        (row,) = Overview.of(fleet, [work], (), now=NOW).labels
        assert row.state == "unserved"
        return row.needs_attention

    fleet = Fleet((view("a"),), NOW)
    assert not needs(fleet, LabelWork("red", visible=1, oldest_at=NOW - TURN_SECONDS + 1))
    assert needs(fleet, LabelWork("red", visible=1, oldest_at=NOW - TURN_SECONDS))
    assert needs(Fleet(), LabelWork("red", visible=1, oldest_at=NOW))


def test_no_job_is_older_than_when_its_label_had_none() -> None:
    """The time of a load request is kept until the backlog function has seen the label served."""

    def age(work: LabelWork, now: float, before: Overview | None) -> tuple[Overview, float | None]:
        shown = Overview.of(Fleet(), [work], (), now=now, before=before)
        return shown, shown.labels[0].oldest_age_seconds

    requested_at = NOW - 500
    waits = LabelWork("red", visible=1, oldest_at=requested_at)
    first, seconds = age(waits, NOW, None)
    assert seconds == 500
    quiet, seconds = age(LabelWork("red", oldest_at=requested_at), NOW + 10, first)
    assert seconds is None
    again, seconds = age(waits, NOW + 12, quiet)
    assert seconds == 2
    assert age(waits, NOW + 20, again)[1] == 10
    assert age(LabelWork("red", visible=1, oldest_at=NOW + 15), NOW + 20, again)[1] == 5


# --- sums ----------------------------------------------------------------------------------------------------------------


def test_sums_are_of_those_who_are_there() -> None:
    views = (
        view("b", jobs=30, misses=3, free_slots=2, loaded={"red": 1}),
        view("a", jobs=10, misses=1, free_slots=0, loaded={"blue": 1}, draining=True),
        view("gone", at=NOW - 31, jobs=500, misses=500, free_slots=9),
    )
    fleet = Fleet(views, NOW)
    work = [
        LabelWork("red", visible=3, in_flight=1, holders=1, loaded=True, task_seconds=0.5, oldest_at=NOW - 7),
        LabelWork("white", visible=2, oldest_at=NOW - 90),
        LabelWork("idle"),
    ]
    shown = Overview.of(fleet, work, (), now=NOW)
    totals = shown.totals
    assert [(row.consumer_id, row.state) for row in shown.consumers] == [
        ("a", "draining"),
        ("b", "alive"),
        ("gone", "gone"),
    ]
    assert (totals.consumers, totals.draining, totals.slots, totals.free_slots) == (1, 1, 3, 2)
    assert (totals.jobs, totals.misses, totals.misses_per_job) == (40, 4, 0.1)
    assert (totals.visible, totals.in_flight, totals.labels_with_work, totals.unserved) == (5, 1, 2, 1)
    assert totals.oldest_age_seconds == 90
    assert totals.backlog_seconds == sum(row.backlog_seconds for row in shown.labels) == 3.0


def test_a_deployment_with_nothing_in_it() -> None:
    totals = overview().totals
    assert (totals.consumers, totals.backlog_seconds) == (0, 0)
    assert (totals.jobs_per_second, totals.misses_per_job, totals.oldest_age_seconds) == (None, None, None)


def test_what_rates_are_counted_from_is_not_told() -> None:
    told = overview(view("a", loaded={"red": 1})).model_dump(mode="json")["consumers"][0]
    assert told["loaded"] == {"red": {"jobs": 1, "jobs_per_second": None}}
    assert "since" not in told
