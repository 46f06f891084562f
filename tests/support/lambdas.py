"""The Lambda functions as they are uploaded, for the emulator, which runs them with its own interpreter."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference_engine.labels import dead_letter_queue_name, webhook_queue_name
from inference_engine.settings import Settings
from lambdas.package import build
from tests.support.workers import environment_of

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
#: The emulator checks no roles.
ROLE = "arn:aws:iam::000000000000:role/of-nobody"


@pytest.fixture(scope="session")
def lambda_zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All zips by the name of their function, built once for this machine and this Python, which is the emulator's too."""
    # One folder for a whole run, in however many modules the fixture is imported.
    folder = tmp_path_factory.getbasetemp() / "lambda-zips"
    if not folder.exists():
        build(folder, python=RUNTIME.removeprefix("python"), architecture=ARCHITECTURE)
    return {path.stem: path for path in folder.glob("*.zip")}


@contextlib.contextmanager
def function(
    name: str, archive: Path, settings: Settings, *, memory: int = 256, timeout: int = 30, **variables: str
) -> Iterator[Any]:
    """The function `{prefix}-{name}` in the emulator, as Terraform makes it; deleted with the block. Yields a boto3 client."""
    import boto3

    client = boto3.client("lambda")
    full_name = f"{settings.prefix}-{name}"
    client.create_function(
        FunctionName=full_name,
        Runtime=RUNTIME,
        Architectures=[ARCHITECTURE],
        Handler="handler.handle",
        Role=ROLE,
        Code={"ZipFile": archive.read_bytes()},
        MemorySize=memory,
        Timeout=timeout,
        Environment={"Variables": environment_of(settings) | variables},
    )
    try:
        yield client
    finally:
        client.delete_function(FunctionName=full_name)
        client.close()


def _queue_arn(name: str) -> str:
    import boto3

    queues = boto3.client("sqs")
    url = queues.get_queue_url(QueueName=name)["QueueUrl"]
    arn: str = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queues.close()
    return arn


def _stream_arn(table: str) -> str:
    import boto3

    tables = boto3.client("dynamodb")
    arn: str = tables.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    tables.close()
    return arn


@contextlib.contextmanager
def _mapping(client: Any, source: str, function_name: str, **options: Any) -> Iterator[None]:
    mapping = client.create_event_source_mapping(
        EventSourceArn=source,
        FunctionName=function_name,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        **options,
    )
    try:
        yield
    finally:
        client.delete_event_source_mapping(UUID=mapping["UUID"])


@contextlib.contextmanager
def webhooks_function(
    archive: Path, settings: Settings, *, stream_filter: bool = True, **variables: Any
) -> Iterator[Any]:
    """The function `{prefix}-webhooks`, with its event source mappings on the jobs table's stream and on its queue."""
    name = f"{settings.prefix}-webhooks"
    pattern = json.dumps({"dynamodb": {"NewImage": {"callback_url": {"S": [{"exists": True}]}}}})
    wanted: dict[str, Any] = {"FilterCriteria": {"Filters": [{"Pattern": pattern}]}} if stream_filter else {}
    table = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 100, "BisectBatchOnFunctionError": True, **wanted}
    with (
        function("webhooks", archive, settings, timeout=60, **variables) as client,
        _mapping(client, _stream_arn(settings.jobs_table), name, **table),
        _mapping(client, _queue_arn(webhook_queue_name(settings.prefix)), name, BatchSize=10),
    ):
        yield client


@contextlib.contextmanager
def dead_letters_function(archive: Path, settings: Settings) -> Iterator[Any]:
    """The function `{prefix}-dead-letters`, with its event source mapping on the dead-letter queue."""
    name = f"{settings.prefix}-dead-letters"
    arn = _queue_arn(dead_letter_queue_name(settings.prefix))
    with function("dead-letters", archive, settings) as client, _mapping(client, arn, name, BatchSize=10):
        yield client
