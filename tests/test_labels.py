"""Names that follow from labels: legal, stable, one for each label."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.errors import InvalidLabelError
from inference_engine.labels import (
    LABEL_MAX_CHARACTERS,
    cell_of,
    check_label,
    dead_letter_queue_name,
    message_group,
    placement_queue_name,
    queue_name,
    slug,
)

LABELS = st.text(min_size=1, max_size=LABEL_MAX_CHARACTERS).filter(lambda text: text.isprintable() and text.strip())
PREFIXES = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)


@given(PREFIXES, LABELS)
def test_queue_names_are_legal(prefix: str, label: str) -> None:
    name = queue_name(prefix, label)
    assert len(name) <= 80
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.fifo", name)
    assert name.startswith(f"{prefix}-")


@given(LABELS, st.integers(13, 100))
def test_slug_of_a_slug_is_never_another_labels_name(label: str, room: int) -> None:
    name = slug(label, room)
    assert len(name) <= room
    assert name == label or slug(name, room) != name


@pytest.mark.parametrize("label", ["placement", "placement--0", "placement--12", "dead-letters", "a-b--0123456789"])
def test_names_of_the_deployments_own_queues_are_not_taken(label: str) -> None:
    own = {placement_queue_name("p", 0, 1), dead_letter_queue_name("p")}
    own |= {placement_queue_name("p", cell, 13) for cell in range(13)}
    assert queue_name("p", label) not in own
    assert queue_name("p", label) != f"p-{label}.fifo"


def test_plain_labels_keep_their_names() -> None:
    assert queue_name("p", "all-minilm-l6-v2") == "p-all-minilm-l6-v2.fifo"
    assert queue_name("p", "a/b") != queue_name("p", "a-b") != queue_name("p", "a b")


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "\ud800", "x" * 257, None, 5])
def test_impossible_labels(label: object) -> None:
    with pytest.raises(InvalidLabelError, match="label"):
        check_label(label)  # type: ignore[arg-type]


@given(LABELS, st.text(max_size=64), st.integers(1, 1000))
def test_message_groups(label: str, deduplication_id: str, lanes: int) -> None:
    try:
        deduplication_id.encode()
    except UnicodeEncodeError:
        return
    group = message_group(label, deduplication_id, lanes)
    assert len(group) <= 128
    assert group == message_group(label, deduplication_id, lanes)
    if lanes > 1:
        assert 0 <= int(group.rpartition("/")[2]) < lanes


@given(LABELS, st.integers(1, 20))
def test_new_cell_takes_labels_only_for_itself(label: str, cells: int) -> None:
    before, after = cell_of(label, cells), cell_of(label, cells + 1)
    assert after in (before, cells)
