"""What is remembered when more comes than there is room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aio.bounded_dict import BoundedDict


def test_a_new_entry_pushes_out_the_one_that_was_set_longest_ago() -> None:
    remembered: BoundedDict[str, int] = BoundedDict(2)
    remembered["a"] = 1
    remembered["b"] = 2
    remembered["a"] = 3
    remembered["c"] = 4
    assert list(remembered.items()) == [("a", 3), ("c", 4)]


def test_an_entry_that_is_moved_to_the_end_outlives_the_others() -> None:
    remembered: BoundedDict[str, int] = BoundedDict(2)
    remembered["a"] = 1
    remembered["b"] = 2
    remembered.move_to_end("a")
    remembered["c"] = 3
    assert list(remembered) == ["a", "c"]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers()), max_size=40), st.integers(1, 6))
def test_the_latest_entries_are_there_with_their_latest_values(sets: list[tuple[str, int]], most: int) -> None:
    remembered: BoundedDict[str, int] = BoundedDict(most)
    for key, value in sets:
        remembered[key] = value
    latest = list(dict.fromkeys(key for key, _ in reversed(sets)))[:most]
    assert list(remembered.items()) == [(key, dict(sets)[key]) for key in reversed(latest)]
