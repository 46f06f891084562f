"""The traces of the routing benchmark: what they promise for all seeds, and the order in which they are replayed."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bound import lru_misses
from benchmarks.routing.cases import CASES
from benchmarks.routing.player import Order, Post, play
from benchmarks.simulation import traces
from benchmarks.simulation.labels import bulk, churn, names, uniform, zipf
from benchmarks.simulation.traces import Event

LABELS = names(5)

seeds = st.integers(0, 2**32)


def drawn(seed: int, requests: int = 100, producers: int = 2) -> list[Event]:
    return traces.synchronous(
        uniform(LABELS),
        traces.normal_wait(0.75, 1.0),
        requests=requests,
        producers=producers,
        job_seconds=0.3,
        seed=seed,
    )


@given(seeds, st.integers(1, 60), st.integers(1, 5))
def test_producers_are_synchronous_and_events_in_order(seed: int, requests: int, producers: int) -> None:
    trace = drawn(seed, requests, producers)

    assert len(trace) == requests
    assert all(earlier.starts_at <= later.starts_at for earlier, later in pairwise(trace))
    for producer in range(producers):
        mine = [event for event in trace if event.producer == producer]
        ends = [0.0, *(event.ends_at for event in mine)]
        for event, last_ended in zip(mine, ends, strict=False):
            assert event.wait_seconds >= 0
            assert event.starts_at == pytest.approx(last_ended + event.wait_seconds)


@given(seeds)
def test_a_seed_is_a_trace_and_a_longer_one_begins_with_it(seed: int) -> None:
    assert drawn(seed) == drawn(seed)
    assert drawn(seed, 150)[:100] == drawn(seed)


def test_the_published_experiment() -> None:
    trace = CASES["a"].draw(2400)

    counts = Counter(traces.labels_of(trace))
    assert len(counts) == 5
    assert all(400 < count < 560 for count in counts.values())
    assert trace[-1].ends_at / 60 == pytest.approx(56, abs=2)  # minutes
    assert lru_misses(traces.labels_of(trace), 4) / 2400 == pytest.approx(0.2, abs=0.015)
    assert lru_misses(traces.labels_of(CASES["b"].draw(2400)), 4) == 4


def test_zipf_asks_for_the_first_label_most() -> None:
    labels = names(100)
    trace = traces.synchronous(
        zipf(labels), traces.normal_wait(1, 0), requests=5000, producers=3, job_seconds=1, seed=1
    )

    counts = Counter(traces.labels_of(trace))
    assert counts.most_common(1)[0][0] == labels[0]
    assert counts[labels[0]] / counts[labels[9]] == pytest.approx(10, rel=0.4)


@given(seeds, st.integers(1, 6), st.integers(1, 8), st.integers(0, 20))
def test_churn_asks_for_each_label_as_often_and_for_few_at_a_time(
    seed: int, alive: int, posts: int, count: int
) -> None:
    labels = names(count) if count else []

    order = churn(labels, alive=alive, posts=posts, seed=seed)

    assert Counter(order) == dict.fromkeys(labels, posts)
    living = [(order.index(label), len(order) - order[::-1].index(label)) for label in labels]
    assert all(sum(first <= at < last for first, last in living) <= alive for at in range(len(order)))


@given(seeds, st.integers(1, 50))
def test_bulk_has_every_label_once(seed: int, count: int) -> None:
    labels = names(count)

    assert sorted(bulk(labels, seed=seed)) == sorted(labels)


def test_names_sort_as_they_are_numbered() -> None:
    assert names(11) == sorted(names(11))
    assert names(1) == ["label-0"]


def event(producer: int, starts_at: float, ends_at: float) -> Event:
    return Event(producer, "x", 0.0, starts_at, ends_at)


def test_an_event_waits_for_what_ended_before_it() -> None:
    order = Order([event(0, 0, 1), event(1, 0.5, 3), event(0, 2, 4)])
    begun = threading.Event()

    def third() -> None:
        order.begin(2)
        begun.set()

    order.begin(0)
    order.begin(1)
    thread = threading.Thread(target=third)
    thread.start()
    # The second one overlaps it and may still run; the first one may not.
    assert not begun.wait(0.05)
    order.end(0)
    assert begun.wait(10)
    thread.join()


def test_a_failed_producer_ends_the_others() -> None:
    trace = [event(0, 0, 1), event(1, 2, 3)]

    def fail(label: str) -> None:
        raise ValueError(label)

    with pytest.raises((ValueError, RuntimeError)):
        play(trace, [fail, fail], factor=1, ordered=True, told=lambda ended: None)


# Each example starts threads.
@settings(max_examples=20)
@given(seeds)
def test_a_replay_in_order_keeps_the_order_of_nominal_time(seed: int) -> None:
    trace = drawn(seed, 30, 3)
    log: list[tuple[str, int]] = []
    turns = {producer: iter([i for i, one in enumerate(trace) if one.producer == producer]) for producer in range(3)}

    def post_of(producer: int) -> Post:
        def post(label: str) -> None:
            index = next(turns[producer])
            assert trace[index].label == label
            log.append(("begin", index))
            log.append(("end", index))

        return post

    played = play(trace, [post_of(n) for n in range(3)], factor=1e9, ordered=True, told=lambda ended: None)

    assert len(played) == 30
    place = {entry: at for at, entry in enumerate(log)}
    for later, after in enumerate(trace):
        for earlier, before in enumerate(trace):
            if before.ends_at <= after.starts_at:
                assert place["end", earlier] < place["begin", later]
