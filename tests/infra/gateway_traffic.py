"""What the gateway and the webhooks function do in a day, on the applied stack, with every call to AWS written down."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from inference_engine import AsyncConsumer, Settings
from inference_engine.aws import transport as session
from inference_engine.aws.parameters import read_parameters
from inference_engine.backends.function import FunctionBackend
from inference_engine.cli import main
from inference_engine.deployment import Deployment
from inference_engine.settings import WebhookSettings
from lambdas.webhooks.handler import Webhooks
from tests.support.aws_stack import AppliedStack
from tests.support.gateway import running_gateway

#: Nobody listens there: what is delivered to it fails at once.
CLOSED_PORT_URL = "http://127.0.0.1:9/"

#: Gives a transport that writes down for a role.
Recorded = Callable[[], Any]


def serve_callers(stack: AppliedStack, settings: Settings, key: str, recorded: Recorded) -> None:
    """Callers of every API, of a fleet that answers: large and small inputs, kept ones, a task that is cancelled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Deployment, "for_producer", staticmethod(lambda settings, **_: Deployment.over(settings, recorded()))
        )
        asyncio.run(read_parameters(recorded(), stack.environment))
        with running_gateway(settings, require_keys=True) as url:
            asyncio.run(_call(_Caller(url, key), settings))


class _Caller:
    """One with a key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    async def __call__(self, path: str, body: Any = None) -> Any:
        """The answer to a GET, or to a POST where there is a body. Raises HTTPError for any other than a success."""
        return await asyncio.to_thread(self._ask, path, body)

    def _ask(self, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", data, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)


async def _call(ask: _Caller, settings: Settings) -> None:
    async def echo(body: Any, message_id: str) -> Any:
        return body

    large = {"text": "x" * (2 * settings.body_inline_max_bytes)}
    accepted = await ask("/async/v1/predict", {"model_name": "later", "inputs": large, "keep_inputs": True})
    assert await ask(f"/cancel/{accepted['id']}", {})
    async with AsyncConsumer(settings, backend=FunctionBackend(echo), max_labels=2):
        answered = await ask("/v1/predict", {"model_name": "now", "inputs": large})
        assert answered["outputs"] == large
    assert (await ask(f"/task/{accepted['id']}?inputs=true"))["inputs"] == large
    assert "now" in {model["name"] for model in await ask("/v2/repository/index", {})}
    assert (await ask("/v1/queue_size"))["queue_size"] >= 0
    assert (await ask("/v1/queue_size?model_name=now"))["queue_size"] >= 0


def make_secret(environment: str, recorded: Recorded) -> None:
    """An operator makes the secret of the environment's webhooks, or another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "ThreadTransport", lambda **_: recorded())
        assert main(["webhooks", "secret", "--environment", environment, "--rotate"]) == 0


async def deliver(stack: AppliedStack, settings: Settings, recorded: Recorded) -> None:
    """A batch of the stream, and a delivery whose receiver does not answer."""
    parameter = stack.outputs["webhooks"]["secret_parameter"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deployment, "for_function", staticmethod(lambda settings: Deployment.over(settings, recorded())))
        function = Webhooks(settings, WebhookSettings(secret_parameter=parameter, allow_private=True))
    assert await function.run([_change()]) == []
    sqs = stack.emulators.client("sqs")
    url = stack.outputs["webhooks"]["queue"]["url"]
    found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, AttributeNames=["ApproximateReceiveCount"])
    [message] = found["Messages"]
    failed = await function.run([_event(message)])
    assert failed == [message["MessageId"]]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _change() -> dict[str, Any]:
    """What the stream tells when a job with a callback URL ends."""
    fields = {"message_id": str(uuid.uuid4()), "label": "first", "request_id": "r", "callback_url": CLOSED_PORT_URL}
    before = {name: {"S": value} for name, value in fields.items()} | {"submitted_at": {"N": str(time.time())}}
    images = {"OldImage": before | {"status": {"S": "SUBMITTED"}}, "NewImage": before | {"status": {"S": "CANCELLED"}}}
    return {"eventSource": "aws:dynamodb", "dynamodb": images | {"SequenceNumber": "1"}}


def _event(message: dict[str, Any]) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    return {
        "eventSource": "aws:sqs",
        "messageId": message["MessageId"],
        "body": message["Body"],
        "receiptHandle": message["ReceiptHandle"],
        "attributes": message["Attributes"],
    }
