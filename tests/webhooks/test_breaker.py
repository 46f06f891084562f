"""Which receivers are put off: who is silent time and again, for a while, and nobody else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.webhooks.breaker import PUT_OFF_SECONDS, RECEIVERS, SILENT_TRIES, Breaker, PutOffError
from inference_engine.webhooks.http import CallbackTimeoutError
from inference_engine.webhooks.rules import Target, target_of

HANGS = target_of("https://hangs.example/a?b=c")


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def asked(breaker: Breaker, target: Target, error: Exception | None = None) -> bool:
    """Whether a try was made; it ends with `error`, or is answered."""
    made = False
    with contextlib.suppress(PutOffError, *([type(error)] if error else [])), breaker.asking(target):
        made = True
        if error is not None:
            raise error
    return made


def silence(breaker: Breaker, target: Target = HANGS, tries: int = SILENT_TRIES) -> None:
    for _ in range(tries):
        assert asked(breaker, target, CallbackTimeoutError())


def test_a_host_that_hangs_is_put_off_whatever_the_path(breaker: Breaker) -> None:
    silence(breaker)
    other_path = breaker.asking(target_of("https://hangs.example/other"))
    with pytest.raises(PutOffError, match=r"hangs\.example:443 is put off: 5 tries in a row had no answer"):
        other_path.__enter__()
    for other in ("https://answers.example/", "https://hangs.example:8443/"):
        assert asked(breaker, target_of(other))


@pytest.mark.parametrize(
    "end", [None, ConnectionRefusedError(), ValueError()], ids=["an answer", "refused", "an error"]
)
def test_who_answers_in_between_is_not_put_off(breaker: Breaker, end: Exception | None) -> None:
    for _ in range(3):
        silence(breaker, tries=SILENT_TRIES - 1)
        assert asked(breaker, HANGS, end)


def test_one_try_at_a_time_finds_out_whether_it_answers_again(breaker: Breaker, clock: Clock) -> None:
    silence(breaker)
    for _ in range(3):
        clock.now += PUT_OFF_SECONDS
        with contextlib.suppress(CallbackTimeoutError), breaker.asking(HANGS):
            assert not asked(breaker, HANGS)
            raise CallbackTimeoutError
        assert not asked(breaker, HANGS)
    clock.now += PUT_OFF_SECONDS
    assert [asked(breaker, HANGS) for _ in range(3)] == [True, True, True]


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(breaker: Breaker) -> None:
    silence(breaker)
    for number in range(RECEIVERS):
        assert asked(breaker, target_of(f"https://{number}.example/"), CallbackTimeoutError())
    assert len(breaker._silent) == RECEIVERS
    assert asked(breaker, HANGS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from(["silent", "answer", "refuse"]), st.floats(0, PUT_OFF_SECONDS)
        ),
        max_size=60,
    )
)
def test_only_a_row_of_silence_puts_off_and_never_for_longer_than_said(tries: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    row, last = {"a": 0, "b": 0}, {"a": 0.0, "b": 0.0}
    for host, end, wait in tries:
        clock.now += wait
        error = {"silent": CallbackTimeoutError(), "answer": None, "refuse": OSError()}[end]
        made = asked(breaker, target_of(f"https://{host}.example/"), error)
        assert made == (row[host] < SILENT_TRIES or clock.now >= last[host] + PUT_OFF_SECONDS)
        if made:
            row[host], last[host] = (row[host] + 1 if end == "silent" else 0), clock.now
