"""The receiver of the how-to page, run as it is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from inference_engine.jobs.job import ResultStatus
from inference_engine.local.processes import free_port
from inference_engine.webhooks.http import ReceiverAnswer, post
from inference_engine.webhooks.rules import SECRET_PREFIX, Delivery, JobData, keys_of, new_secret, signed_headers
from tests.support.project import DOCS
from tests.support.waiting import eventually

PAGE = DOCS / "howto" / "webhooks.md"
SECRET = new_secret()
DELIVERY = Delivery.of(
    "https://example.com/",
    JobData(message_id="id", request_id="r", label="m", status=ResultStatus.SUCCESS),
    attempt=1,
    at=0,
)
BODY = DELIVERY.payload.encode()


def receiver_of_the_page() -> str:
    programs = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    program: str
    (program,) = [one for one in programs if "serve_forever" in one]
    return program


@contextmanager
def running(prints: str) -> Iterator[str]:
    """The address of the page's receiver, which has printed that at its end."""
    port = free_port()
    environment = os.environ | {"WEBHOOKS_SECRET": f"{new_secret()} {SECRET}", "PORT": str(port)}
    command = [sys.executable, "-c", receiver_of_the_page()]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read().decode() == prints


def send(url: str, headers: dict[str, str], body: bytes = BODY) -> ReceiverAnswer | None:
    try:
        return post(url, headers, body, timeout_seconds=5, allow_private=True)
    except ConnectionRefusedError:
        return None


@pytest.mark.integration
def test_it_takes_what_is_genuine_and_a_repetition_in_silence() -> None:
    headers = signed_headers(DELIVERY.id, BODY, keys_of(SECRET))
    with running(prints="job.succeeded id\n") as url:
        assert eventually(lambda: send(url, headers), "the receiver listens") == ReceiverAnswer(204, "")
        assert send(url, headers) == ReceiverAnswer(204, "")
        both = signed_headers(DELIVERY.id, BODY, keys_of(f"{new_secret()} {SECRET}"))
        assert send(url, both) == ReceiverAnswer(204, "")


@pytest.mark.integration
def test_it_refuses_what_is_not() -> None:
    genuine = signed_headers(DELIVERY.id, BODY, keys_of(SECRET))
    forged = [
        (signed_headers(DELIVERY.id, BODY, keys_of(new_secret())), BODY),
        (signed_headers(DELIVERY.id, BODY, keys_of(SECRET), time.time() - 400), BODY),
        (genuine, BODY.replace(b"SUCCESS", b"ERROR")),
        (genuine | {"webhook-id": "another"}, BODY),
        (genuine | {"webhook-signature": "v1,"}, BODY),
    ]
    with running(prints="") as url:
        eventually(lambda: send(url, {}), "the receiver listens")
        answers = [send(url, headers, body) for headers, body in [({}, BODY), *forged]]
    assert [answer and answer.status for answer in answers] == [401] * len(answers)


def test_the_example_of_a_delivery_has_the_fields_that_one_has() -> None:
    (example,) = re.findall(r"^```http\n.*?\n\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    shown, sent = json.loads(example), json.loads(DELIVERY.payload)
    assert list(shown) == list(sent)
    assert list(shown["data"]) == list(sent["data"])
    assert SECRET_PREFIX in PAGE.read_text("utf-8")
