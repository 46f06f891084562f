"""The webhooks function as it is uploaded, with its two event sources in the emulator."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from inference_engine import AsyncConsumer, AsyncProducer, Settings
from inference_engine.jobs.job import ResultStatus
from inference_engine.webhooks.rules import Delivery, JobData, new_secret
from tests.support.lambdas import function, webhooks_function
from tests.support.webhooks import after_failures, receiver

SECRET = new_secret()


@pytest.fixture
def variables(aws_environment: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The function's own environment; the producer of the test may use callbacks inside, too."""
    monkeypatch.setenv("INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE", "true")
    name = f"/inference-engine/{settings.prefix}/webhooks/secret"
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=name, Value=SECRET, Type="SecureString")
    ssm.close()
    return {
        "INFERENCE_ENGINE_WEBHOOKS_SECRET_PARAMETER": name,
        "INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE": "true",
        "INFERENCE_ENGINE_WEBHOOKS_TIMEOUT_SECONDS": "5",
    }


async def double(body: int, message_id: str) -> int:
    return 2 * body


@pytest.mark.parametrize("stream_filter", [True, False], ids=["filter", "no filter"])
async def test_a_jobs_end_comes_to_its_receiver_after_a_failed_try(
    settings: Settings, lambda_zips: dict[str, Path], variables: dict[str, Any], stream_filter: bool
) -> None:
    with (
        receiver(after_failures(500)) as there,
        webhooks_function(lambda_zips["webhooks"], settings, stream_filter=stream_filter, **variables),
    ):
        async with AsyncProducer(settings) as producer, AsyncConsumer(settings, compute_result=double):
            await producer.post_non_blocking(20, "m")
            message_id = await producer.post_non_blocking(21, "m", callback_url=there.url)
            assert (await producer.wait(message_id)).result == 42
            # The one that failed comes after the backoff of 5 s: a message that stayed hidden would take minutes.
            requests = [await asyncio.to_thread(there.next)]
            while requests[0].id not in [request.id for request in requests[1:]]:
                requests.append(await asyncio.to_thread(there.next))
    events = [request.verified(SECRET) for request in requests]
    assert "job.succeeded" in {event["type"] for event in events} <= {"job.started", "job.succeeded"}
    assert {event["data"]["message_id"] for event in events} == {message_id}


def invoke(client: Any, settings: Settings, records: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    answer = client.invoke(
        FunctionName=f"{settings.prefix}-by-hand", Payload=json.dumps({"Records": records}), LogType="Tail"
    )
    payload = answer["Payload"].read()
    assert "FunctionError" not in answer, payload
    return json.loads(payload), base64.b64decode(answer.get("LogResult", "")).decode()


def of_queue(name: str, body: str) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1"}
    return {
        "eventSource": "aws:sqs",
        "messageId": name,
        "body": body,
        "receiptHandle": f"handle of {name}",
        "attributes": attributes,
    }


def of_stream(name: str, status: ResultStatus, sequence: str) -> dict[str, Any]:
    image = {
        "message_id": {"S": name},
        "label": {"S": "m"},
        "request_id": {"S": "r"},
        "status": {"S": status.value},
        "callback_url": {"S": "https://example.com/"},
    }
    change = {"NewImage": image, "SequenceNumber": sequence, "ApproximateCreationDateTime": 1e9}
    return {"eventSource": "aws:dynamodb", "dynamodb": change}


def test_the_answer_names_what_was_not_delivered_and_the_log_counts_it(
    settings: Settings, lambda_zips: dict[str, Path], variables: dict[str, Any]
) -> None:
    def body(url: str, name: str) -> str:
        data = JobData(message_id=name, request_id="r", label="m", status=ResultStatus.SUCCESS)
        return Delivery.of(url, data, attempt=1, at=0).encode()

    with (
        receiver() as well,
        receiver(lambda _: 500) as broken,
        receiver(lambda _: 410) as gone,
        function("by-hand", lambda_zips["webhooks"], settings, **variables) as client,
    ):
        records = [of_queue(name, body(there.url, name)) for name, there in (("a", well), ("b", broken), ("c", gone))]
        answer, logged = invoke(client, settings, [*records, of_queue("d", "no delivery")])
    assert answer == {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "d"}]}
    (line,) = [line for line in logged.splitlines() if '"_aws"' in line]
    metrics = json.loads(line[line.index("{") :])
    assert (metrics["WebhooksDelivered"], metrics["WebhooksFailed"]) == (1, 2)
    assert (metrics["gone"], metrics["failed"]) == (["c-SUCCESS-1"], ["b-SUCCESS-1", "d"])
    assert metrics["Deployment"] == settings.prefix
    reasons = [line for line in logged.splitlines() if "not delivered" in line]
    for told in (
        "b-SUCCESS-1 not delivered in try 1: the receiver answered 500",
        "c-SUCCESS-1 not delivered in try 1: the receiver answered 410",
    ):
        assert any(told in line for line in reasons), reasons
    assert any("d not delivered in try 1: DecodeError" in line for line in reasons), reasons
    assert not any(there.url in logged for there in (well, broken, gone))


def test_of_a_stream_it_names_the_first_record_that_is_not_on_the_queue(
    settings: Settings, lambda_zips: dict[str, Path], variables: dict[str, Any]
) -> None:
    records = [of_stream("a", ResultStatus.SUBMITTED, "1"), of_stream("b", ResultStatus.SUCCESS, "2")]
    records.append(of_stream("c", ResultStatus.SUCCESS, "3"))
    with function("by-hand", lambda_zips["webhooks"], settings, **variables) as client:
        assert invoke(client, settings, records)[0] == {"batchItemFailures": []}
    nowhere = variables | {"INFERENCE_ENGINE_PREFIX": "nowhere"}
    with function("by-hand", lambda_zips["webhooks"], settings, **nowhere) as client:
        assert invoke(client, settings, records)[0] == {"batchItemFailures": [{"itemIdentifier": "2"}]}
