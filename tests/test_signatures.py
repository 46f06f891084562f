"""The blocking classes take what their twins on asyncio take, and say so to type checkers."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_engine import (
    AsyncConsumer,
    AsyncProducer,
    AsyncSubmission,
    Consumer,
    Producer,
    Submission,
)
from tests.support.project import PROJECT

TWINS: dict[type, type] = {AsyncProducer: Producer, AsyncConsumer: Consumer, AsyncSubmission: Submission}

#: Methods of another name: applications of the single-queue API call the blocking ones.
RENAMED = {"start": "start_consuming", "stop": "stop_consuming"}
#: The whole life of a process: with an event loop, it is the application that has one.
ONLY_BLOCKING = {"run"}
#: Parameters that a thread could not use: it has no awaitable that might end its wait.
ONLY_ASYNC = {("AsyncProducer", "wait", "until"), ("AsyncSubmission", "wait", "until")}
#: What a caller gets is of the caller's world.
RETURNED = {"AsyncIterator[Response]": "Iterator[Response]", "AsyncSubmission": "Submission"}
#: What the producers and consumers themselves hand to a submission is no matter of its users.
CONSTRUCTED = [AsyncProducer, AsyncConsumer]


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    """The public methods of a class."""
    return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"}


def properties(kind: type) -> dict[str, str]:
    """The public properties of a class, with the annotation of each."""
    found = inspect.getmembers(kind, lambda member: isinstance(member, property))
    return {name: inspect.signature(member.fget).return_annotation for name, member in found}


PAIRS = [
    pytest.param(kind, name, method, methods(blocking)[RENAMED.get(name, name)], id=f"{kind.__name__}.{name}")
    for kind, blocking in TWINS.items()
    for name, method in methods(kind).items()
] + [pytest.param(kind, "", kind, TWINS[kind], id=kind.__name__) for kind in CONSTRUCTED]


@pytest.mark.parametrize(("kind", "name", "method", "blocking"), PAIRS)
def test_twins_take_the_same(kind: type, name: str, method: Callable[..., Any], blocking: Callable[..., Any]) -> None:
    ours, theirs = inspect.signature(method), inspect.signature(blocking)
    expected = [one for one in ours.parameters.values() if (kind.__name__, name, one.name) not in ONLY_ASYNC]
    # A Parameter is its name, its kind, its default and its annotation.
    assert list(theirs.parameters.values()) == expected
    assert theirs.return_annotation == RETURNED.get(ours.return_annotation, ours.return_annotation)


@pytest.mark.parametrize("kind", TWINS)
def test_twins_have_the_same_methods_and_properties(kind: type) -> None:
    blocking = TWINS[kind]
    assert {RENAMED.get(name, name) for name in methods(kind)} == methods(blocking).keys() - ONLY_BLOCKING
    assert properties(kind) == properties(blocking)


@pytest.mark.parametrize(("kind", "name", "method", "blocking"), PAIRS)
def test_every_parameter_is_written_out_and_typed(
    kind: type, name: str, method: Callable[..., Any], blocking: Callable[..., Any]
) -> None:
    for one in (method, blocking):
        signature = inspect.signature(one)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty, parameter
            assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), parameter


def test_every_allowed_difference_is_one() -> None:
    for owner, name, parameter in ONLY_ASYNC:
        [kind] = [kind for kind in TWINS if kind.__name__ == owner]
        assert parameter in inspect.signature(methods(kind)[name]).parameters
        assert parameter not in inspect.signature(methods(TWINS[kind])[name]).parameters
    assert not ONLY_BLOCKING - methods(Consumer).keys()
    assert not ONLY_BLOCKING & methods(AsyncConsumer).keys()


def test_a_misspelt_keyword_is_refused_at_run_time() -> None:
    with Producer() as producer, pytest.raises(TypeError, match="unexpected keyword argument 'dedupkey'"):
        producer.post({}, label="m", dedupkey="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'http_prt'"):
        Consumer(http_prt=1)  # type: ignore[call-arg]


SNIPPET = """\
from typing import assert_type

from inference_engine import AsyncProducer, Consumer, Producer, Response, Settings
from inference_engine.aws.activity import read_activity
from inference_engine.aws.client import DynamoDBClient
from inference_engine.aws.dead_letters import DeadLetters
from inference_engine.backends import FunctionBackend, OnnxBackend, TritonBackend
from inference_engine.callbacks import verify
from inference_engine.local.tiny_models import write_tiny_models
from inference_engine.models import FolderStore
from inference_engine.webhooks import Courier, Outbox


async def submits() -> None:
    submission = await AsyncProducer("jobs.fifo").submit({}, deadline=1.0)
    assert_type(await submission.wait(until=submits()), Response)


Producer().post({}, label="m", dedupkey="x")
Consumer(http_prt=1)
Producer("jobs.fifo", settings=Settings(), ddb_client=DynamoDBClient("jobs"))
Producer(7)
verify({}, b"")
"""
FOUND = [
    (19, 'Unexpected keyword argument "dedupkey" for "post" of "Producer"; did you mean "dedup_key"?  [call-arg]'),
    (20, 'Unexpected keyword argument "http_prt" for "Consumer"; did you mean "http_port"?  [call-arg]'),
    (22, 'Argument 1 to "Producer" has incompatible type "int"; expected "str | Settings | None"  [arg-type]'),
    (23, 'Missing positional argument "secret" in call to "verify"  [call-arg]'),
]


@pytest.mark.integration
def test_a_strict_type_checker_finds_what_is_misspelt_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(SNIPPET, "utf-8")
    # As for an installed package, nothing is told of the library's own files.
    options = ["--strict", "--follow-imports=silent", "--hide-error-context", "--no-error-summary"]
    cache = PROJECT / ".mypy_cache" / "applications"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--config-file=", f"--cache-dir={cache}", "application.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if ": note: " not in line]
    assert lines == [f"application.py:{number}: error: {text}" for number, text in FOUND]
