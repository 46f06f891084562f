"""What a call is billed: requests of 64 KB for SQS, units by statement and key for DynamoDB."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.requests.billing import Bill, bill, resource

FIFO = "http://127.0.0.1:4566/000000000000/jobs.fifo"


def sqs(operation: str, request: dict[str, Any], answer: dict[str, Any] | None = None) -> Bill:
    return bill("AmazonSQS", operation, request, answer or {})


def dynamodb(operation: str, request: dict[str, Any], answer: dict[str, Any] | None = None) -> Bill:
    return bill("DynamoDB_20120810", operation, request, answer or {})


def test_batch_of_messages_is_one_request() -> None:
    entries = [{"Id": str(number), "MessageBody": "x" * 100} for number in range(10)]
    assert sqs("SendMessageBatch", {"QueueUrl": FIFO, "Entries": entries}) == Bill(1, fifo_requests=1)


def test_payload_is_billed_by_chunk_sent_and_received() -> None:
    entries = [{"Id": str(number), "MessageBody": "x" * 20_000} for number in range(10)]
    messages = [{"Body": entry["MessageBody"]} for entry in entries]
    assert sqs("SendMessageBatch", {"QueueUrl": FIFO, "Entries": entries}).fifo_requests == 4
    assert sqs("ReceiveMessage", {"QueueUrl": FIFO}, {"Messages": messages}).fifo_requests == 4
    assert sqs("SendMessage", {"QueueUrl": FIFO, "MessageBody": "x" * 65_537}).fifo_requests == 2


def test_empty_receive_is_a_request() -> None:
    assert sqs("ReceiveMessage", {"QueueUrl": FIFO}).fifo_requests == 1


def test_standard_queues_have_their_own_price() -> None:
    one = sqs("DeleteMessage", {"QueueUrl": FIFO.removesuffix(".fifo")})
    assert one == Bill(1, standard_requests=1)
    assert one.dollars == pytest.approx(0.40e-6)


def test_each_statement_of_a_batch_is_a_write() -> None:
    update = {"Statement": 'UPDATE "jobs" SET "open"=? WHERE "message_id"=?', "Parameters": [{"N": "0"}, {"S": "m"}]}
    large = {"Statement": "INSERT INTO \"jobs\" VALUE {'r': ?}", "Parameters": [{"S": "x" * 3000}]}
    select = {"Statement": 'SELECT * FROM "jobs" WHERE "message_id"=?', "Parameters": [{"S": "m"}]}
    found = dynamodb("BatchExecuteStatement", {"Statements": [update, update, large, select]})
    assert (found.calls, found.write_units, found.read_units) == (1, 5, 0.5)


def test_each_key_of_a_batch_is_a_read_found_or_not() -> None:
    keys = [{"message_id": {"S": str(number)}} for number in range(10)]
    found = [{"message_id": {"S": "0"}}, {"message_id": {"S": "1"}, "result": {"S": "x" * 9_000}}]
    left = {"jobs": {"Keys": keys[:3]}}
    answer = {"Responses": {"jobs": found}, "UnprocessedKeys": left}
    request = {"RequestItems": {"jobs": {"Keys": keys}}}
    # One small item, one of three units, five that are not there, three that come again.
    assert dynamodb("BatchGetItem", request, answer).read_units == (1 + 3 + 5) * 0.5
    consistent = {"RequestItems": {"jobs": {"Keys": keys, "ConsistentRead": True}}}
    assert dynamodb("BatchGetItem", consistent, answer).read_units == 1 + 3 + 5


def test_query_is_billed_by_what_it_reads_together() -> None:
    items = [{"row": {"S": "x" * 1_500}} for _ in range(4)]
    request = {"TableName": "registry", "ConsistentRead": True}
    assert dynamodb("Query", request, {"Items": items}).read_units == 2
    assert dynamodb("Query", request, {"Items": []}).read_units == 1


def test_single_writes_and_reads() -> None:
    assert dynamodb("PutItem", {"TableName": "jobs", "Item": {"r": {"B": "x" * 2_100}}}).write_units == 3
    assert dynamodb("DeleteItem", {"TableName": "jobs", "Key": {"k": {"S": "m"}}}).write_units == 1
    assert dynamodb("GetItem", {"TableName": "jobs", "Key": {"k": {"S": "m"}}}).read_units == 0.5
    assert dynamodb("DescribeTable", {"TableName": "jobs"}) == Bill(1)


def test_list_prices() -> None:
    together = Bill(fifo_requests=1_000_000) + Bill(write_units=1_000_000) + Bill(read_units=1_000_000)
    assert together.dollars == pytest.approx(0.50 + 0.625 + 0.125)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"QueueUrl": FIFO}, "jobs.fifo"),
        ({"TableName": "registry"}, "registry"),
        ({"RequestItems": {"jobs": {"Keys": []}}}, "jobs"),
        ({"Statements": [{"Statement": "INSERT INTO \"jobs\" VALUE {'a': ?}"}]}, "jobs"),
        ({"Statement": 'UPDATE "jobs" SET "a"=?'}, "jobs"),
        ({}, ""),
    ],
)
def test_resource(request_: dict[str, Any], name: str) -> None:
    assert resource(request_) == name
