"""One fixed queue instead of a queue per label: `python example/single_queue.py`.

Runs on its own: without AWS_ENDPOINT_URL it starts an emulator for its queue and its table.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import boto3

from inference_engine import Consumer, DynamoDBClient, Producer, ResultStatus
from inference_engine.local.emulator import Emulator


def your_function(body: Any, message_id: str) -> Any:
    """Processing goes here; anything JSON can carry comes in and goes out."""
    number = body["number"]
    return {"answer": 38 + number}


def main() -> None:
    """A consumer and a producer in one process."""
    consumer = Consumer(
        "sqs_queue_name.fifo",
        ddb_client=DynamoDBClient(table="ddb_table"),
        compute_result=your_function,
    )
    consumer.start_consuming()

    producer = Producer("sqs_queue_name.fifo", ddb_client=DynamoDBClient(table="ddb_table"))

    # Post, poll, collect ...
    body = {"number": 4}
    id_ = producer.post_non_blocking(body)
    timeout = time.time() + producer.timeout_seconds
    while time.time() < timeout:
        status = producer.retrieve_result_status(id_)
        if status == ResultStatus.SUCCESS:
            break
        time.sleep(0.05)
    else:
        raise TimeoutError("Timeout reached.")
    resp = producer.retrieve_result(id_)
    assert resp.result == your_function(body, id_)
    print(id_, resp.status_code, resp.result)

    # ... or all of that in one call.
    result = producer.post({"number": 4}).result
    print(result)

    producer.close()
    consumer.stop_consuming()


def create_queue_and_table() -> None:
    """What Terraform does elsewhere."""
    boto3.client("sqs").create_queue(QueueName="sqs_queue_name.fifo", Attributes={"FifoQueue": "true"})
    client = boto3.client("dynamodb")
    if "ddb_table" not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName="ddb_table",
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        if "AWS_ENDPOINT_URL" not in os.environ:
            os.environ.update(stack.enter_context(Emulator()).environment())
        create_queue_and_table()
        main()
