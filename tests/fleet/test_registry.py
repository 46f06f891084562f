"""The registry: rows, claims, label settings, failures to load."""

from __future__ import annotations

import asyncio
import time

import pytest

from inference_engine.aws.transport import AioTransport
from inference_engine.deployment import Aws
from inference_engine.fleet.registry import Registry
from inference_engine.fleet.view import ConsumerView, Fleet, LabelSettings, LabelStatistics, ModelSignature
from inference_engine.settings import Settings
from tests.support.fault_proxy import Fault, FaultProxy

LABEL = "resnet50"


def view(consumer_id: str, *, holds: bool = False, lease: float = 60, draining: bool = False) -> ConsumerView:
    loaded = {LABEL: LabelStatistics(load_seconds=1.5, jobs=3)} if holds else {}
    return ConsumerView(consumer_id=consumer_id, lease_until=time.time() + lease, loaded=loaded, draining=draining)


async def test_rows_come_and_go(aws: Aws) -> None:
    rows = {name: view(name, holds=name == "a") for name in "abc"}
    for row in rows.values():
        await aws.registry.publish(row)
    fleet = await aws.registry.fleet()
    assert {row.consumer_id: row for row in fleet.consumers} == rows
    assert [row.consumer_id for row in fleet.hosts(LABEL, time.time())] == ["a"]
    await aws.registry.leave("a")
    await aws.registry.leave("a")
    assert (await aws.registry.fleet()).get("a") is None


async def test_cells_do_not_see_each_other(aws: Aws) -> None:
    await aws.registry.publish(view("a"))
    assert (await Registry(aws.transport, aws.settings.registry_table, cell=1).fleet()).consumers == ()


async def test_live_holder_keeps_its_place(aws: Aws) -> None:
    assert await aws.registry.claim(LABEL, "a", 1, Fleet())
    assert await aws.registry.claim(LABEL, "a", 1, Fleet()), "a claim may be repeated"
    fleet = Fleet((view("a", holds=True), view("b")), time.time())
    assert not await aws.registry.claim(LABEL, "b", 1, fleet)
    assert await aws.registry.claim(LABEL, "b", 2, fleet)
    assert not await aws.registry.claim(LABEL, "c", 2, fleet.with_view(view("b", holds=True)))


async def test_fresh_claim_of_a_live_consumer_is_believed(aws: Aws) -> None:
    await aws.registry.claim(LABEL, "a", 1, Fleet())
    assert not await aws.registry.claim(LABEL, "b", 1, Fleet((view("a"),), time.time()))


@pytest.mark.parametrize("row", [view("a", holds=True, lease=-1), view("a", holds=True, draining=True), None])
async def test_place_of_one_who_is_gone_is_taken_over(aws: Aws, row: ConsumerView | None) -> None:
    await aws.registry.claim(LABEL, "a", 1, Fleet())
    fleet = Fleet((row,) if row else (), time.time())
    assert await aws.registry.claim(LABEL, "b", 1, fleet)
    assert not await aws.registry.claim(LABEL, "c", 1, fleet.with_view(view("b", holds=True)))


async def test_unknown_owner_of_a_claim_newer_than_the_view_keeps_it(aws: Aws) -> None:
    old = Fleet((), time.time() - 10)
    await aws.registry.claim(LABEL, "a", 1, old)
    assert not await aws.registry.claim(LABEL, "b", 1, old)


@pytest.mark.parametrize("hosts", [1, 3])
async def test_concurrent_claims_have_as_many_winners_as_places(aws: Aws, hosts: int) -> None:
    names = [f"c{index}" for index in range(12)]
    fleet = Fleet(tuple(view(name) for name in names), time.time())
    wins = await asyncio.gather(*(aws.registry.claim(LABEL, name, hosts, fleet) for name in names))
    assert wins.count(True) == hosts


async def test_concurrent_take_over_has_one_winner(aws: Aws) -> None:
    await aws.registry.claim(LABEL, "dead", 1, Fleet())
    names = [f"c{index}" for index in range(12)]
    fleet = Fleet(tuple(view(name) for name in names), time.time())
    wins = await asyncio.gather(*(aws.registry.claim(LABEL, name, 1, fleet) for name in names))
    assert wins.count(True) == 1


async def test_unclaim_frees_only_ones_own_place(aws: Aws) -> None:
    await aws.registry.claim(LABEL, "a", 1, Fleet())
    fleet = Fleet((view("a", holds=True),), time.time())
    await aws.registry.unclaim(LABEL, "b", 1)
    assert not await aws.registry.claim(LABEL, "b", 1, fleet)
    await aws.registry.unclaim(LABEL, "a", 1)
    assert await aws.registry.claim(LABEL, "b", 1, fleet)


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


async def test_label_settings(aws: Aws) -> None:
    assert await aws.registry.label(LABEL) == LabelSettings(label=LABEL)
    wanted = [LabelSettings(label=name, lanes=2) for name in ("a", "b", LABEL)]
    for one in wanted:
        await aws.registry.set_label(one)
    assert await aws.registry.label(LABEL) == wanted[2]
    assert await aws.registry.labels() == wanted


async def test_a_row_that_cannot_be_read_hides_no_other_and_is_logged_once(
    aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    await aws.registry.publish(view("a"))
    await aws.registry.set_label(LabelSettings(label=LABEL))
    await aws.registry.describe(ModelSignature(label=LABEL))
    await aws.registry.failed(LABEL, "no memory", 60)

    async def write(pk: str, **fields: str) -> None:
        item = {"pk": {"S": pk}, "sk": {"S": "odd"}} | {name: {"S": value} for name, value in fields.items()}
        await aws.transport.call("dynamodb", "put_item", TableName=aws.settings.registry_table, Item=item)

    for pk in ("cell#0", "labels", "models", "failures"):
        await write(pk, row='{"lease_until": "never"}')
    for _ in range(3):
        assert [one.consumer_id for one in (await aws.registry.fleet()).consumers] == ["a"]
        for rows in (aws.registry.labels(), aws.registry.signatures(), aws.registry.failures()):
            assert [one.label for one in await rows] == [LABEL]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    assert await aws.registry.label("odd") == LabelSettings(label="odd")
    assert await aws.registry.signature("odd") is None
    assert await aws.registry.failure("odd") is None
    assert len(caplog.records) == 4
    await write("cell#0")
    await aws.registry.fleet()
    assert len(caplog.records) == 5
    alone = Registry(aws.transport, aws.settings.registry_table)
    for _ in range(2):
        assert await alone.label("odd") == LabelSettings(label="odd")
    assert len(caplog.records) == 6


async def test_failures_to_load_add_up_until_they_cool_or_succeed(aws: Aws) -> None:
    assert await aws.registry.failure(LABEL) is None
    await aws.registry.failed(LABEL, "no memory", 60)
    await aws.registry.failed(LABEL, "no memory " * 1000, 60)
    failure = await aws.registry.failure(LABEL)
    assert failure is not None
    assert failure.tries == 2
    assert await aws.registry.failure(LABEL) == failure
    await aws.registry.succeeded(LABEL)
    assert await aws.registry.failure(LABEL) is None
    await aws.registry.failed(LABEL, "again", -1)
    assert await aws.registry.failure(LABEL) is None
