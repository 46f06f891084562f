"""Many job records at once, by DynamoDB's import from S3 (ImportTable): thousands a second, even on the emulator."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import boto3

from inference_engine.aws import schema
from inference_engine.jobs.job import ResultStatus

from ..deployment import EmulatedDeployment

BUCKET = "bench-payloads"
#: Records in one object of the import.
RECORDS_PER_OBJECT = 50_000
#: Placeholder for a record's number in the template.
_NUMBER = "0" * 12
_POLL_SECONDS = 0.2


def message_id(number: int) -> str:
    """The message id of an imported record, in the form of SQS's own."""
    return f"00000000-0000-4000-8000-{number:012d}"


def with_records(deployed: EmulatedDeployment, count: int, status: ResultStatus, labels: int = 1) -> EmulatedDeployment:
    """The same deployment with its own jobs table that holds `count` records, spread over `labels`."""
    table = f"{deployed.settings.prefix}-{status.value.lower()}-{count}"
    prefix = f"{table}/"
    # Bypasses the counting proxy: this transfers hundreds of megabytes.
    direct = {"endpoint_url": deployed.emulator.endpoint_url}
    s3, dynamodb = boto3.client("s3", **direct), boto3.client("dynamodb", **direct)
    for start, text in _objects(count, status, labels):
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}{start:08d}.json", Body=text.encode())
    wanted = ("TableName", "AttributeDefinitions", "KeySchema", "BillingMode")
    parameters = {name: value for name, value in schema.jobs_table(table).items() if name in wanted}
    description = dynamodb.import_table(
        S3BucketSource={"S3Bucket": BUCKET, "S3KeyPrefix": prefix},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters=parameters,
    )["ImportTableDescription"]
    while description["ImportStatus"] == "IN_PROGRESS":
        time.sleep(_POLL_SECONDS)
        description = dynamodb.describe_import(ImportArn=description["ImportArn"])["ImportTableDescription"]
    if description["ImportStatus"] != "COMPLETED" or description["ImportedItemCount"] != count:
        raise RuntimeError(f"{count} records were not imported: {description}")
    return replace(deployed, settings=deployed.settings.model_copy(update={"jobs_table": table}))


def _objects(count: int, status: ResultStatus, labels: int) -> Iterator[tuple[int, str]]:
    """Start and text of each object of the import, one record per line."""
    templates = [_line(status, f"label-{number}").split(_NUMBER) for number in range(labels)]
    for start in range(0, count, RECORDS_PER_OBJECT):
        numbers = range(start, min(start + RECORDS_PER_OBJECT, count))
        yield start, "\n".join(f"{number:012d}".join(templates[number % labels]) for number in numbers)


def _line(status: ResultStatus, label: str) -> str:
    """A record as the library stores it, with `_NUMBER` in place of its number."""
    now = time.time()
    numbers = {"submitted_at": now, "expires_at": int(now) + 86_400, "open": int(not status.finished), "attempt": 0}
    texts = {"message_id": message_id(0), "label": label, "request_id": f"request-{_NUMBER}", "status": status.value}
    if status.finished:
        numbers |= {"attempt": 1, "starts": 1, "started_at": now, "finished_at": now}
        texts |= {"consumer": "consumer-0", "result": '{"number":1}'}
    item = {name: {"N": repr(value)} for name, value in numbers.items()}
    return json.dumps({"Item": item | {name: {"S": value} for name, value in texts.items()}})
