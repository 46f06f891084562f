"""The gateway's whole OpenAPI description against a live gateway: examples, boundary values, and requests that are made up.

Many of the requests do not fit the description. Whatever comes, the answer has a status, a content type and a form that are
described, and the gateway does not fail. The same holds where a key is required, of callers with and without one that is good.

The requests are few and always the same. `make fuzz` makes many, others each time, and tells the seed: FUZZ_EXAMPLES is how many
for each route (for each caller a third of it), FUZZ_SEED the number that they are made by.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as generated
from schemathesis.specs.openapi import checks as openapi_checks

from inference_engine import Consumer, Producer, Settings
from inference_engine.aws.provision import provision_now
from inference_engine.deployment import Deployment
from inference_engine.gateway.app import create_app
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.settings import GatewaySettings
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.acceptance

#: The labels of the description's examples; no other label has a queue.
LABELS = ("resnet50", "minilm", "chat")
#: What a gateway that works does not answer here: the model, the uploader and AWS are well.
FAILURES = (500, 501, 502)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 6)
#: None: the same requests each time, which follow from the tests' own code.
SEED = os.environ.get("FUZZ_SEED") or None
#: Without a database: what has failed once is made again by its seed.
MADE: dict[str, Any] = {
    "deadline": None,
    "derandomize": SEED is None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def seeded(test: Callable[..., None]) -> Callable[..., None]:
    """A test whose requests are made by SEED."""
    return test if SEED is None else seed(int(SEED))(test)


#: Of a gateway that is never started: pytest wants to know the routes before there is a deployment.
described = create_app(Service(Deployment.for_producer(Settings()), GatewaySettings())).openapi()
description = schemathesis.openapi.from_dict(described)


def compute(body: Any, message_id: str) -> Any:
    """Answers anything at once."""
    return {"EMBEDDING": np.full((1, 4), 0.5, dtype=np.float32)}


class Uploader(BaseHTTPRequestHandler):
    """Says that the model is there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"status": "success", "model_name": "a--b", "message": "converted"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def uploader_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Uploader) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/upload-model"
        server.shutdown()
        thread.join()


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment with a consumer of all labels, and what its gateways are given."""

    settings: Settings
    options: dict[str, Any]


@pytest.fixture(scope="module")
def deployed(aws_environment: str, uploader_url: str) -> Iterator[Deployed]:
    name = f"t{uuid.uuid4().hex[:8]}"
    settings = Settings(
        prefix=name,
        bucket=f"{name}-payloads",
        wait_time_seconds=1,
        placement_interval_seconds=0.5,
        poll_max_seconds=0.2,
    )
    provision_now(settings)
    consumer = Consumer(settings, compute_result=compute, max_labels=len(LABELS))
    consumer.start_consuming()
    try:
        with Producer(settings) as producer:
            assert all(producer.post({}, label, timeout_seconds=60).ok for label in LABELS)
        restricted = settings.model_copy(update={"auto_create_queues": False})
        yield Deployed(restricted, {"model_ref": "chat", "uploader_url": uploader_url})
    finally:
        consumer.stop_consuming()


@pytest.fixture(scope="module")
def gateway_url(deployed: Deployed) -> Iterator[str]:
    with running_gateway(deployed.settings, **deployed.options) as url:
        yield url


@pytest.fixture(scope="module")
def keyed_url(deployed: Deployed) -> Iterator[str]:
    with running_gateway(deployed.settings, require_keys=True, **deployed.options) as url:
        yield url


@pytest.fixture(scope="module")
def callers(deployed: Deployed) -> dict[str, dict[str, str]]:
    """Headers of all kinds of callers."""

    async def make() -> dict[str, str]:
        parts = Deployment.for_producer(deployed.settings)
        create = parts.api_keys.create
        try:
            return {
                "has a key": (await create("all"))[0],
                "operates": (await create("operator", operator=True))[0],
                "uses other labels": (await create("others", labels=["no-such-*"]))[0],
                "has had its turn": (await create("spent", rate=1e-6))[0],
                "has lost its key": f"ie_{'a' * 10}_{'s' * 43}",
            }
        finally:
            await parts.close()

    keys = asyncio.run(make())
    return {"has no key": {}} | {who: {"Authorization": f"Bearer {key}"} for who, key in keys.items()}


def does_not_fail(_context: Any, response: Any, case: schemathesis.Case[Any]) -> None:
    """A check: what went wrong is the request's fault."""
    if response.status_code in FAILURES:
        raise AssertionError(f"{case.method} {case.path} is answered by {response.status_code}: {response.text[:500]}")


@description.parametrize()
@seeded
@generated(max_examples=EXAMPLES, **MADE)
def test_every_answer_is_as_it_is_described(case: schemathesis.Case[Any], gateway_url: str) -> None:
    response = case.call(base_url=gateway_url, timeout=30)
    if case.path == "/pause":
        requests.post(f"{gateway_url}/unpause", timeout=30).raise_for_status()
    case.validate_response(
        response,
        checks=[
            does_not_fail,
            openapi_checks.status_code_conformance,
            openapi_checks.content_type_conformance,
            openapi_checks.response_schema_conformance,
            openapi_checks.response_headers_conformance,
            openapi_checks.negative_data_rejection,
        ],
    )


@description.parametrize()
@seeded
# Boundary values are the other test's: here it is who asks.
@generated(max_examples=max(1, EXAMPLES // 3), phases=[Phase.generate], **MADE)
def test_every_caller_gets_an_answer_that_is_described(
    case: schemathesis.Case[Any], keyed_url: str, callers: dict[str, dict[str, str]]
) -> None:
    # Who has a key and is no operator is told nothing that the others are not, but on fewer routes.
    for headers in (callers[who] for who in callers if who != "has a key"):
        response = case.call(base_url=keyed_url, headers=headers, timeout=30)
        if case.path == "/pause" and response.status_code == 200:
            requests.post(f"{keyed_url}/unpause", headers=headers, timeout=30).raise_for_status()
        case.validate_response(
            response,
            checks=[
                does_not_fail,
                openapi_checks.status_code_conformance,
                openapi_checks.content_type_conformance,
                openapi_checks.response_schema_conformance,
            ],
        )


def test_each_caller_is_told_what_is_in_the_way(keyed_url: str, callers: dict[str, dict[str, str]]) -> None:
    def statuses(path: str) -> dict[str, int]:
        return {
            who: requests.get(f"{keyed_url}{path}", headers=headers, timeout=30).status_code
            for who, headers in callers.items()
        }

    statuses("/labels")
    strangers = {"has had its turn": 429, "has no key": 401, "has lost its key": 401}
    may = {"has a key": 200, "operates": 200, "uses other labels": 200}
    assert statuses("/labels") == may | strangers
    assert statuses("/v2/models/chat/ready") == may | {"uses other labels": 403} | strangers
    assert statuses("/metrics") == may | {"has a key": 403, "uses other labels": 403} | strangers
    assert set(statuses("/readyz").values()) == {200}


def test_what_is_described_is_what_is_served(gateway_url: str) -> None:
    assert requests.get(f"{gateway_url}/openapi.json", timeout=30).json() == described


def test_problems_are_described_in_their_media_type() -> None:
    routes = [
        (path, method, route) for path, methods in described["paths"].items() for method, route in methods.items()
    ]
    assert len(routes) > 25
    wrong = [
        f"{method} {path} {status}"
        for path, method, route in routes
        for status, answer in route["responses"].items()
        if int(status) >= 400 and list(answer["content"]) != ["application/problem+json"]
    ]
    assert wrong == []
    names = [route["operationId"] for _, _, route in routes]
    assert len(set(names)) == len(names)
    assert [path for path, _, route in routes if not (route.get("summary") and route["tags"])] == []
