"""Labels that were rung for leave a row until they are served."""

from __future__ import annotations

import pytest

from inference_engine.deployment import Aws
from inference_engine.fleet import waiting as module


async def test_a_ring_leaves_a_row_that_keeps_its_beginning(aws: Aws) -> None:
    await aws.load_requests.ring("resnet50")
    [first] = await aws.waiting.all()
    await aws.load_requests.ring("resnet50", always=True)
    [again] = await aws.waiting.all()
    assert first.label == again.label == "resnet50"
    assert again.since == first.since
    assert again.rung_at > first.rung_at


async def test_a_wish_for_a_second_host_is_no_waiting(aws: Aws) -> None:
    await aws.load_requests.ring("resnet50", hosts=2)
    assert await aws.waiting.all() == []


async def test_a_served_label_loses_its_row(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    await aws.waiting.note("resnet50")
    [row] = await aws.waiting.all()
    await aws.waiting.served(row)
    assert await aws.waiting.all() == []


async def test_a_ring_in_between_keeps_the_row(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    await aws.waiting.note("resnet50")
    [before] = await aws.waiting.all()
    await aws.waiting.note("resnet50")
    await aws.waiting.served(before)
    [row] = await aws.waiting.all()
    assert row.rung_at > before.rung_at


async def test_a_fresh_ring_stays_whatever_the_queue_says_but_its_wait_begins_anew(aws: Aws) -> None:
    await aws.waiting.note("resnet50")
    await aws.waiting.note("resnet50")
    [row] = await aws.waiting.all()
    await aws.waiting.served(row)
    [after] = await aws.waiting.all()
    assert after.rung_at == after.since == row.rung_at > row.since


async def test_the_search_through_all_queues_goes_on_where_it_was(aws: Aws) -> None:
    assert await aws.waiting.cursor() is None
    await aws.waiting.move_cursor("page-2")
    assert await aws.waiting.cursor() == "page-2"
    await aws.waiting.move_cursor(None)
    assert await aws.waiting.cursor() is None
