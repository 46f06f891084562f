"""The Lambda zips as uploaded: the emulator unpacks and runs them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from inference_engine import AsyncProducer, ResultStatus, Settings
from inference_engine.deployment import Deployment
from inference_engine.jobs.store import DEAD_LETTERED
from inference_engine.labels import dead_letter_queue_name
from tests.support.dead import receive_until_dead
from tests.support.lambdas import dead_letters_function, function


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_receive_count": 5})


async def test_dead_letter_becomes_an_error_by_the_lambda(
    deployment: Deployment, settings: Settings, lambda_zips: dict[str, Path]
) -> None:
    async with AsyncProducer(settings, timeout_seconds=60) as producer:
        with dead_letters_function(lambda_zips["dead_letters"], settings):
            ids = [await producer.post_non_blocking({"n": n}, "m") for n in range(3)]
            await receive_until_dead(deployment, "m")
            responses = [response async for response in producer.as_completed(ids)]
    assert {response.message_id for response in responses} == set(ids)
    assert {response.status for response in responses} == {ResultStatus.ERROR}
    assert {response.error.type for response in responses if response.error} == {DEAD_LETTERED}


def test_answer_names_only_what_failed_and_what_came_behind_it(
    settings: Settings, lambda_zips: dict[str, Path]
) -> None:
    def record(name: str, group: str) -> dict[str, Any]:
        attributes = {"MessageGroupId": group, "MessageDeduplicationId": name, "ApproximateReceiveCount": "6"}
        return {"messageId": name, "body": "no job", "receiptHandle": "h", "attributes": attributes}

    # DynamoDB refuses a sort key of more than 1,024 bytes.
    records = [record("good", "a"), record("b" * 1025, "b"), record("behind", "b"), record("fine", "c")]
    with function("by-hand", lambda_zips["dead_letters"], settings) as client:
        answers = []
        for _ in range(2):  # the second finds the function warm
            answer = client.invoke(
                FunctionName=f"{settings.prefix}-by-hand", Payload=json.dumps({"Records": records}), LogType="Tail"
            )
            assert "FunctionError" not in answer, answer["Payload"].read()
            answers.append(json.loads(answer["Payload"].read()))
            logged = base64.b64decode(answer["LogResult"]).decode()
            assert '"DeadLetters": 2' in logged
    failures = {"batchItemFailures": [{"itemIdentifier": "b" * 1025}, {"itemIdentifier": "behind"}]}
    assert answers == [failures, failures]


async def test_function_without_its_tables_fails_every_message(
    deployment: Deployment, settings: Settings, lambda_zips: dict[str, Path]
) -> None:
    url = await deployment.queues.named(dead_letter_queue_name(settings.prefix))
    assert (await deployment.queues.backlog(url)).total == 0
    lost = settings.model_copy(update={"registry_table": "not-there"})
    record = {"messageId": "m", "body": "no job", "receiptHandle": "h", "attributes": {"MessageGroupId": "g"}}
    with function("lost", lambda_zips["dead_letters"], lost) as client:
        answer = client.invoke(FunctionName=f"{settings.prefix}-lost", Payload=json.dumps({"Records": [record]}))
        assert json.loads(answer["Payload"].read()) == {"batchItemFailures": [{"itemIdentifier": "m"}]}
