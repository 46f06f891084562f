"""The way of a job through a deployed environment: model, queue, consumer, Triton, result; then its metrics, and its dead."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from e2e_test.conftest import WAIT_SECONDS, Deployment
from inference_engine import Producer, Response, ResultStatus
from inference_engine.cli import main
from inference_engine.errors import UnknownMessageError
from inference_engine.jobs.job import Job
from inference_engine.labels import queue_name
from inference_engine.model_authoring.tiny_models import TINY_SIZE, tiny_expected, write_tiny_models

Value = TypeVar("Value")

#: Between two looks.
LOOK_SECONDS = 1.0


@pytest.fixture(scope="module")
def label(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small model of our own in the model bucket; it and its queue go when the tests are over."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("models")
    write_tiny_models(folder, [name])
    s3, bucket = deployment.client("s3"), deployment.parameters["models_bucket"]
    keys = {path: path.relative_to(folder).as_posix() for path in _files(folder)}
    for path, key in keys.items():
        s3.upload_file(str(path), bucket, key)
    yield name
    for key in keys.values():
        s3.delete_object(Bucket=bucket, Key=key)
    _delete_queue(deployment, name)


@pytest.fixture
def orphan(deployment: Deployment) -> Iterator[str]:
    """A label with a queue that no consumer knows of: no load request was sent for it."""
    name = f"e2e-dead-{uuid.uuid4().hex[:8]}"
    settings = deployment.settings
    sqs = deployment.client("sqs")
    dead = sqs.get_queue_url(QueueName=f"{settings.prefix}-dead-letters.fifo")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.create_queue(
        QueueName=queue_name(settings.prefix, name),
        Attributes={
            "FifoQueue": "true",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": settings.max_receive_count}),
        },
    )
    yield name
    _delete_queue(deployment, name)


def test_a_job_goes_through_triton_and_back(producer: Producer, label: str) -> None:
    x = np.arange(2 * TINY_SIZE, dtype=np.float32).reshape(2, TINY_SIZE)
    response = producer.post({"X": x}, label=label)
    assert response.status is ResultStatus.SUCCESS, response
    np.testing.assert_array_equal(response.result["Y"], tiny_expected(label, x))


def test_a_bulk_of_jobs_ends(producer: Producer, label: str) -> None:
    x = np.ones((1, TINY_SIZE), dtype=np.float32)
    message_ids = producer.post_many([{"X": x * number} for number in range(20)], label=label)
    responses = {one.message_id: one for one in producer.as_completed(message_ids, timeout_seconds=WAIT_SECONDS)}
    assert [responses[one].status for one in message_ids] == [ResultStatus.SUCCESS] * 20
    last = responses[message_ids[-1]].result["Y"]
    np.testing.assert_array_equal(last, tiny_expected(label, x * 19))


def test_the_backlog_metrics_find_a_job_without_a_load_request(deployment: Deployment, orphan: str) -> None:
    _send_without_a_load_request(deployment, orphan)
    # While it is in flight here, nobody takes it: for a visible one the function would send a load request.
    assert _receive(deployment, orphan, visibility_seconds=300)

    def measured() -> dict[str, Any] | None:
        """The search through all queues comes to this one sooner or later."""
        measures, log = _invoke(deployment, "backlog_metrics_function")
        return measures if orphan in log else None

    measures = _eventually(measured)
    assert measures["active_labels"] >= 1
    assert measures["backlog_seconds_per_task"] > 0
    assert measures["running_tasks"] >= 1, "no consumer is alive"
    assert measures["slots"] >= measures["running_tasks"]
    assert measures["requires_consumer"] == 0


def test_a_dead_letter_becomes_an_error(
    deployment: Deployment, producer: Producer, orphan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message_id = _send_without_a_load_request(deployment, orphan)
    _receive_too_often(deployment, orphan)

    def ended() -> Response | None:
        try:
            return producer.retrieve_result(message_id)
        except UnknownMessageError:
            return None

    response = _eventually(ended)
    assert response.status is ResultStatus.ERROR
    assert response.error is not None
    assert response.error.type == "DeadLettered"
    settings = ["--prefix", deployment.settings.prefix]
    assert main(["dlq", "list", "--json", "--label", orphan, *settings]) == 0
    assert message_id in capsys.readouterr().out
    assert main(["dlq", "purge", message_id, "--yes", *settings]) == 0


def _send_without_a_load_request(deployment: Deployment, label: str) -> str:
    """A job as of a producer that died before it wrote a record and sent a load request; its message id."""
    sqs = deployment.client("sqs")
    url = sqs.get_queue_url(QueueName=queue_name(deployment.settings.prefix, label))["QueueUrl"]
    job = Job(label=label, request_id="e2e", body=json.dumps({"n": 1}), submitted_at=time.time())
    sent = sqs.send_message(
        QueueUrl=url, MessageBody=job.encode(), MessageGroupId=label, MessageDeduplicationId=uuid.uuid4().hex
    )
    return str(sent["MessageId"])


def _receive_too_often(deployment: Deployment, label: str) -> None:
    """Receive the queue's only message as often as it may be; with the next receive, SQS moves it away."""
    for _ in range(deployment.settings.max_receive_count):
        assert _receive(deployment, label, visibility_seconds=0)
    assert not _receive(deployment, label, visibility_seconds=0)


def _receive(deployment: Deployment, label: str, *, visibility_seconds: int) -> list[Any]:
    sqs = deployment.client("sqs")
    url = sqs.get_queue_url(QueueName=queue_name(deployment.settings.prefix, label))["QueueUrl"]
    answer = sqs.receive_message(QueueUrl=url, VisibilityTimeout=visibility_seconds, WaitTimeSeconds=2)
    return list(answer.get("Messages", []))


def _eventually(look: Callable[[], Value | None]) -> Value:
    """The first value that a look brings; AWS tells of none of these events."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        if (value := look()) is not None:
            return value
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"nothing within {WAIT_SECONDS:g} s")


def _invoke(deployment: Deployment, parameter: str) -> tuple[dict[str, Any], str]:
    """The answer of a function, and the end of its log."""
    name = deployment.parameters[parameter]
    answer = deployment.client("lambda").invoke(FunctionName=name, Payload=b"{}", LogType="Tail")
    payload = answer["Payload"].read()
    assert "FunctionError" not in answer, payload
    return dict(json.loads(payload)), base64.b64decode(answer["LogResult"]).decode()


def _delete_queue(deployment: Deployment, label: str) -> None:
    sqs = deployment.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=queue_name(deployment.settings.prefix, label))["QueueUrl"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
