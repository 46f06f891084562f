"""A label that a load request was sent for has a waiting row until it is served."""

from __future__ import annotations

import pytest

from inference_engine.deployment import Deployment
from inference_engine.fleet import load_requests as module


async def test_a_load_request_leaves_a_row_that_keeps_its_beginning(deployment: Deployment) -> None:
    await deployment.load_requests.send("resnet50")
    [first] = await deployment.waiting.all()
    await deployment.load_requests.send("resnet50", always=True)
    [again] = await deployment.waiting.all()
    assert first.label == again.label == "resnet50"
    assert again.since == first.since
    assert again.requested_at > first.requested_at


async def test_a_wish_for_a_second_holder_is_no_waiting(deployment: Deployment) -> None:
    await deployment.load_requests.send("resnet50", holders=2)
    assert await deployment.waiting.all() == []


async def test_a_served_label_loses_its_row(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    await deployment.waiting.record("resnet50")
    [row] = await deployment.waiting.all()
    await deployment.waiting.served(row)
    assert await deployment.waiting.all() == []


async def test_a_request_in_between_keeps_the_row(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    await deployment.waiting.record("resnet50")
    [before] = await deployment.waiting.all()
    await deployment.waiting.record("resnet50")
    await deployment.waiting.served(before)
    [row] = await deployment.waiting.all()
    assert row.requested_at > before.requested_at


async def test_a_fresh_request_stays_whatever_the_queue_says_but_its_wait_begins_anew(deployment: Deployment) -> None:
    await deployment.waiting.record("resnet50")
    await deployment.waiting.record("resnet50")
    [row] = await deployment.waiting.all()
    await deployment.waiting.served(row)
    [after] = await deployment.waiting.all()
    assert after.requested_at == after.since == row.requested_at > row.since


async def test_the_search_through_all_queues_goes_on_where_it_was(deployment: Deployment) -> None:
    assert await deployment.waiting.cursor() is None
    await deployment.waiting.move_cursor("page-2")
    assert await deployment.waiting.cursor() == "page-2"
    await deployment.waiting.move_cursor(None)
    assert await deployment.waiting.cursor() is None
