"""The registry: rows, claims, label settings, failures to load."""

from __future__ import annotations

import asyncio
import time

import pytest

from inference_engine.aws.transport import AioTransport
from inference_engine.deployment import Deployment
from inference_engine.fleet.registry import Registry
from inference_engine.fleet.view import ConsumerView, Fleet, LabelSettings, LabelStatistics, ModelSignature
from inference_engine.settings import Settings
from tests.support.fault_proxy import Fault, FaultProxy

LABEL = "resnet50"


def view(consumer_id: str, *, holds: bool = False, lease: float = 60, draining: bool = False) -> ConsumerView:
    loaded = {LABEL: LabelStatistics(load_seconds=1.5, jobs=3)} if holds else {}
    return ConsumerView(consumer_id=consumer_id, lease_until=time.time() + lease, loaded=loaded, draining=draining)


async def test_rows_come_and_go(deployment: Deployment) -> None:
    rows = {name: view(name, holds=name == "a") for name in "abc"}
    for row in rows.values():
        await deployment.registry.publish(row)
    fleet = await deployment.registry.fleet()
    assert {row.consumer_id: row for row in fleet.consumers} == rows
    assert [row.consumer_id for row in fleet.holders(LABEL, time.time())] == ["a"]
    await deployment.registry.leave("a")
    await deployment.registry.leave("a")
    assert (await deployment.registry.fleet()).get("a") is None


async def test_cells_do_not_see_each_other(deployment: Deployment) -> None:
    await deployment.registry.publish(view("a"))
    assert (await Registry(deployment.transport, deployment.settings.registry_table, cell=1).fleet()).consumers == ()


async def test_live_holder_keeps_its_place(deployment: Deployment) -> None:
    assert await deployment.registry.claim(LABEL, "a", 1, Fleet())
    assert await deployment.registry.claim(LABEL, "a", 1, Fleet()), "a claim may be repeated"
    fleet = Fleet((view("a", holds=True), view("b")), time.time())
    assert not await deployment.registry.claim(LABEL, "b", 1, fleet)
    assert await deployment.registry.claim(LABEL, "b", 2, fleet)
    assert not await deployment.registry.claim(LABEL, "c", 2, fleet.with_view(view("b", holds=True)))


async def test_fresh_claim_of_a_live_consumer_is_believed(deployment: Deployment) -> None:
    await deployment.registry.claim(LABEL, "a", 1, Fleet())
    assert not await deployment.registry.claim(LABEL, "b", 1, Fleet((view("a"),), time.time()))


@pytest.mark.parametrize("row", [view("a", holds=True, lease=-1), view("a", holds=True, draining=True), None])
async def test_place_of_one_who_is_gone_is_taken_over(deployment: Deployment, row: ConsumerView | None) -> None:
    await deployment.registry.claim(LABEL, "a", 1, Fleet())
    fleet = Fleet((row,) if row else (), time.time())
    assert await deployment.registry.claim(LABEL, "b", 1, fleet)
    assert not await deployment.registry.claim(LABEL, "c", 1, fleet.with_view(view("b", holds=True)))


async def test_unknown_owner_of_a_claim_newer_than_the_view_keeps_it(deployment: Deployment) -> None:
    old = Fleet((), time.time() - 10)
    await deployment.registry.claim(LABEL, "a", 1, old)
    assert not await deployment.registry.claim(LABEL, "b", 1, old)


@pytest.mark.parametrize("holders", [1, 3])
async def test_concurrent_claims_have_as_many_winners_as_places(deployment: Deployment, holders: int) -> None:
    names = [f"c{index}" for index in range(12)]
    fleet = Fleet(tuple(view(name) for name in names), time.time())
    wins = await asyncio.gather(*(deployment.registry.claim(LABEL, name, holders, fleet) for name in names))
    assert wins.count(True) == holders


async def test_concurrent_take_over_has_one_winner(deployment: Deployment) -> None:
    await deployment.registry.claim(LABEL, "dead", 1, Fleet())
    names = [f"c{index}" for index in range(12)]
    fleet = Fleet(tuple(view(name) for name in names), time.time())
    wins = await asyncio.gather(*(deployment.registry.claim(LABEL, name, 1, fleet) for name in names))
    assert wins.count(True) == 1


async def test_unclaim_frees_only_ones_own_place(deployment: Deployment) -> None:
    await deployment.registry.claim(LABEL, "a", 1, Fleet())
    fleet = Fleet((view("a", holds=True),), time.time())
    await deployment.registry.unclaim(LABEL, "b", 1)
    assert not await deployment.registry.claim(LABEL, "b", 1, fleet)
    await deployment.registry.unclaim(LABEL, "a", 1)
    assert await deployment.registry.claim(LABEL, "b", 1, fleet)


async def test_take_over_whose_answer_is_lost_is_still_a_claim(
    settings: Settings, aws_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(aws_environment, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        transport = AioTransport()
        registry = Registry(transport, settings.registry_table)
        assert await registry.claim(LABEL, "dead", 1, Fleet())
        # The first write is refused, the second one takes over.
        proxy.plan("PutItem", None, Fault.LOST_RESPONSE)
        assert await registry.claim(LABEL, "b", 1, Fleet((view("b"),), time.time()))
        assert proxy.faults[Fault.LOST_RESPONSE] == 1
        await transport.close()


async def test_label_settings(deployment: Deployment) -> None:
    assert await deployment.registry.label(LABEL) == LabelSettings(label=LABEL)
    wanted = [LabelSettings(label=name, lanes=2) for name in ("a", "b", LABEL)]
    for one in wanted:
        await deployment.registry.set_label(one)
    assert await deployment.registry.label(LABEL) == wanted[2]
    assert await deployment.registry.labels() == wanted


async def test_a_row_that_cannot_be_read_hides_no_other_and_is_logged_once(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    await deployment.registry.publish(view("a"))
    await deployment.registry.set_label(LabelSettings(label=LABEL))
    await deployment.registry.describe(ModelSignature(label=LABEL))
    await deployment.registry.failed(LABEL, "no memory", 60)

    async def write(pk: str, **fields: str) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": "odd"}} | {name: {"S": value} for name, value in fields.items()}
        await deployment.transport.call("dynamodb", "put_item", TableName=deployment.settings.registry_table, Item=item)

    for pk in ("cell#0", "labels", "models", "failures"):
        await write(pk, row='{"lease_until": "never"}')
    for _ in range(3):
        assert [one.consumer_id for one in (await deployment.registry.fleet()).consumers] == ["a"]
        for rows in (deployment.registry.labels(), deployment.registry.signatures(), deployment.registry.failures()):
            assert [one.label for one in await rows] == [LABEL]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    assert await deployment.registry.label("odd") == LabelSettings(label="odd")
    assert await deployment.registry.signature("odd") is None
    assert await deployment.registry.failure("odd") is None
    assert len(caplog.records) == 4
    await write("cell#0")
    await deployment.registry.fleet()
    assert len(caplog.records) == 5
    alone = Registry(deployment.transport, deployment.settings.registry_table)
    for _ in range(2):
        assert await alone.label("odd") == LabelSettings(label="odd")
    assert len(caplog.records) == 6


async def test_failures_to_load_add_up_until_they_cool_or_succeed(deployment: Deployment) -> None:
    assert await deployment.registry.failure(LABEL) is None
    await deployment.registry.failed(LABEL, "no memory", 60)
    await deployment.registry.failed(LABEL, "no memory " * 1000, 60)
    failure = await deployment.registry.failure(LABEL)
    assert failure is not None
    assert failure.tries == 2
    assert await deployment.registry.failure(LABEL) == failure
    await deployment.registry.succeeded(LABEL)
    assert await deployment.registry.failure(LABEL) is None
    await deployment.registry.failed(LABEL, "again", -1)
    assert await deployment.registry.failure(LABEL) is None
