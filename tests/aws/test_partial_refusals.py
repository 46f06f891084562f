"""Requests of which AWS is too busy for a part: what the emulator never does, put before it here."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from inference_engine.aws.queues import SEND_TRIES, OutgoingMessage, Queues
from inference_engine.aws.tables import WRITE_TRIES, ConditionFailed, Items
from inference_engine.aws.transport import Service, Transport
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from tests.support.queues import drain


class Busy:
    """A transport that refuses the first `times` tries of every second entry of a batch."""

    def __init__(self, transport: Transport, times: int, *, callers_fault: bool = False) -> None:
        self.tries: Counter[str] = Counter()
        self._transport = transport
        self._times = times
        self._callers_fault = callers_fault

    async def call(self, service: Service, operation: str, **parameters: Any) -> dict[str, Any]:
        match operation:
            case "send_message_batch":
                return await self._send(parameters)
            case "batch_execute_statement":
                return await self._write(parameters)
            case "batch_get_item":
                return await self._read(parameters)
        return await self._transport.call(service, operation, **parameters)

    async def close(self) -> None:
        """The transport behind it is the test's."""

    def _refuses(self, name: str) -> bool:
        self.tries[name] += 1
        return int(name) % 2 == 1 and self.tries[name] <= self._times

    async def _send(self, parameters: dict[str, Any]) -> dict[str, Any]:
        refused = [one for one in parameters["Entries"] if self._refuses(one["MessageBody"])]
        accepted = [one for one in parameters["Entries"] if one not in refused]
        answer: dict[str, Any] = {}
        if accepted:
            answer = await self._transport.call("sqs", "send_message_batch", **parameters | {"Entries": accepted})
        failed = {"Code": "InternalError", "Message": "busy", "SenderFault": self._callers_fault}
        return answer | {"Failed": [{"Id": one["Id"]} | failed for one in refused]}

    async def _write(self, parameters: dict[str, Any]) -> dict[str, Any]:
        statements = parameters["Statements"]
        busy = [self._refuses(one["Parameters"][0]["S"]) for one in statements]
        accepted = [one for one, refused in zip(statements, busy, strict=True) if not refused]
        responses: list[dict[str, Any]] = []
        if accepted:
            answer = await self._transport.call("dynamodb", "batch_execute_statement", Statements=accepted)
            responses = answer["Responses"]
        there = iter(responses)
        error = {"Error": {"Code": "ThrottlingError", "Message": "busy"}}
        return {"Responses": [error if refused else next(there) for refused in busy]}

    async def _read(self, parameters: dict[str, Any]) -> dict[str, Any]:
        [(table, asked)] = parameters["RequestItems"].items()
        refused = [key for key in asked["Keys"] if self._refuses(key["message_id"]["S"])]
        accepted = [key for key in asked["Keys"] if key not in refused]
        answer: dict[str, Any] = {"Responses": {}}
        if accepted:
            request = {table: asked | {"Keys": accepted}}
            answer = await self._transport.call("dynamodb", "batch_get_item", RequestItems=request)
        return answer | {"UnprocessedKeys": {table: asked | {"Keys": refused}} if refused else {}}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_engine.aio.partial_retry.FIRST_WAIT_SECONDS", 0.0)


async def test_messages_that_sqs_is_too_busy_for_are_sent_again_and_the_others_once(deployment: Deployment) -> None:
    url = await deployment.queues.of_label("resnet50")
    busy = Busy(deployment.transport, SEND_TRIES - 1)
    queues = Queues(busy, deployment.settings)
    sent = await asyncio.gather(*(queues.send(url, OutgoingMessage(str(n), f"g{n}", str(n))) for n in range(6)))
    assert len(set(sent)) == 6
    assert busy.tries == {str(n): SEND_TRIES if n % 2 else 1 for n in range(6)}
    assert sorted([message.body for message in await drain(deployment.polls, url)]) == [str(n) for n in range(6)]


@pytest.mark.parametrize(("callers_fault", "tries"), [(False, SEND_TRIES), (True, 1)])
async def test_a_message_that_stays_refused_is_its_callers_error_alone(
    deployment: Deployment, callers_fault: bool, tries: int
) -> None:
    url = await deployment.queues.of_label("resnet50")
    busy = Busy(deployment.transport, 100, callers_fault=callers_fault)
    queues = Queues(busy, deployment.settings)
    messages = (OutgoingMessage(str(n), "g", str(n)) for n in range(2))
    sent, refused = await asyncio.gather(*(queues.send(url, one) for one in messages), return_exceptions=True)
    assert isinstance(sent, str)
    assert isinstance(refused, TransportError)
    assert "resnet50" in str(refused)
    assert "InternalError: busy" in str(refused)
    assert busy.tries == {"0": 1, "1": tries}


async def test_items_that_dynamodb_is_too_busy_for_are_written_and_read_again(deployment: Deployment) -> None:
    table = deployment.settings.jobs_table
    items = Items(Busy(deployment.transport, WRITE_TRIES - 1), table, "message_id")
    assert await asyncio.gather(*(items.insert(str(n), {"attempt": n}) for n in range(6))) == [None] * 6
    busy = Busy(deployment.transport, 2 * WRITE_TRIES)
    items = Items(busy, table, "message_id")
    found = await asyncio.gather(*(items.get(str(n)) for n in range(7)))
    assert found == [{"message_id": {"S": str(n)}, "attempt": {"N": str(n)}} for n in range(6)] + [None]
    assert busy.tries == {str(n): 2 * WRITE_TRIES + 1 if n % 2 else 1 for n in range(7)}


async def test_an_item_that_stays_refused_is_its_callers_error_alone(deployment: Deployment) -> None:
    busy = Busy(deployment.transport, 100)
    items = Items(busy, deployment.settings.jobs_table, "message_id")
    writes = (items.insert(str(n), {"attempt": n}) for n in range(2))
    written, refused = await asyncio.gather(*writes, return_exceptions=True)
    assert written is None
    assert isinstance(refused, TransportError)
    assert f"{deployment.settings.jobs_table}: ThrottlingError: busy" in str(refused)
    assert busy.tries == {"0": 1, "1": WRITE_TRIES}


async def test_a_refused_write_returns_what_it_found(deployment: Deployment) -> None:
    items = Items(deployment.transport, deployment.settings.jobs_table, "message_id")
    assert await items.update("1", {"attempt": 2}, {"attempt": 1}) == ConditionFailed(None)
    assert await items.insert("1", {"attempt": 1, "label": "m"}) is None
    assert await items.insert("1", {"attempt": 1}) == ConditionFailed(None)
    there = {"message_id": {"S": "1"}, "attempt": {"N": "1"}, "label": {"S": "m"}}
    assert await items.update("1", {"attempt": 3}, {"attempt": 2}) == ConditionFailed(there)
    assert await items.update("1", {"attempt": 2}, {"attempt": 1, "label": "m"}) is None
    assert await items.current("1") == there | {"attempt": {"N": "2"}}
