"""Which IAM action on which resource a call to AWS is, after the Service Authorization Reference.

A batch is its single action ("sqs:SendMessage" for SendMessageBatch), PartiQL has actions of its own, and reading an
object's head is `s3:GetObject`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .iam import Request

Parameters = Mapping[str, Any]
Mapper = Callable[["Account", Parameters], list[Request]]

#: Actions without a resource level, with the page of the Service Authorization Reference that says so.
WITHOUT_RESOURCE = {
    "sqs:ListQueues": "Actions, resources, and condition keys for Amazon SQS",
    "cloudwatch:PutMetricData": "Actions, resources, and condition keys for Amazon CloudWatch",
    "ecr:GetAuthorizationToken": "Actions, resources, and condition keys for Amazon Elastic Container Registry",
    "xray:PutTraceSegments": "Actions, resources, and condition keys for AWS X-Ray",
    "xray:PutTelemetryRecords": "Actions, resources, and condition keys for AWS X-Ray",
}

#: Operations by boto3's name, and their action.
_SQS = {
    "get_queue_url": "GetQueueUrl",
    "get_queue_attributes": "GetQueueAttributes",
    "create_queue": "CreateQueue",
    "send_message": "SendMessage",
    "send_message_batch": "SendMessage",
    "receive_message": "ReceiveMessage",
    "delete_message": "DeleteMessage",
    "delete_message_batch": "DeleteMessage",
    "change_message_visibility": "ChangeMessageVisibility",
    "change_message_visibility_batch": "ChangeMessageVisibility",
}
_S3_OBJECTS = {"put_object": "PutObject", "get_object": "GetObject", "head_object": "GetObject"}
_PARTIQL = {"INSERT": "PartiQLInsert", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete", "SELECT": "PartiQLSelect"}
_STATEMENT = re.compile(r'(INSERT INTO|UPDATE|DELETE FROM|SELECT .* FROM)\s+"([^"]+)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Account:
    """Where requests go."""

    region: str
    number: str

    def arn(self, service: str, name: str) -> str:
        """ARN of a regional resource."""
        return f"arn:aws:{service}:{self.region}:{self.number}:{name}"

    def requests(self, service: str, operation: str, parameters: Parameters) -> list[Request]:
        """What IAM is asked about a call. Raises KeyError for one that is not known here."""
        return OPERATIONS[service, operation](self, parameters)


def _sqs(action: str) -> Mapper:
    def requests(account: Account, parameters: Parameters) -> list[Request]:
        name = parameters.get("QueueName") or parameters["QueueUrl"].rpartition("/")[2]
        tagging = [Request("sqs:TagQueue", account.arn("sqs", name))] if parameters.get("tags") else []
        return [Request(f"sqs:{action}", account.arn("sqs", name)), *tagging]

    return requests


def _list_queues(_account: Account, _parameters: Parameters) -> list[Request]:
    return [Request("sqs:ListQueues", "*")]


def _table(account: Account, name: str) -> str:
    return account.arn("dynamodb", f"table/{name}")


def _item(action: str) -> Mapper:
    """One item by its key, which is all of `Key` or part of `Item`; the partition key is the first of the key's attributes."""

    def requests(account: Account, parameters: Parameters) -> list[Request]:
        key = parameters.get("Key") or parameters["Item"]
        context = {"dynamodb:LeadingKeys": (_partition(key),)}
        return [Request(f"dynamodb:{action}", _table(account, parameters["TableName"]), context)]

    return requests


def _partition(key: Mapping[str, Mapping[str, str]]) -> str:
    return key["pk"]["S"] if "pk" in key else key["message_id"]["S"]


def _query(account: Account, parameters: Parameters) -> list[Request]:
    leading = parameters["ExpressionAttributeValues"][":pk"]["S"]
    return [
        Request("dynamodb:Query", _table(account, parameters["TableName"]), {"dynamodb:LeadingKeys": (leading,)}),
    ]


def _batch_get(account: Account, parameters: Parameters) -> list[Request]:
    return [
        Request(
            "dynamodb:BatchGetItem",
            _table(account, table),
            {"dynamodb:LeadingKeys": tuple(_partition(key) for key in asked["Keys"])},
        )
        for table, asked in parameters["RequestItems"].items()
    ]


def _partiql(account: Account, parameters: Parameters) -> list[Request]:
    requests = []
    for statement in parameters["Statements"]:
        match = _STATEMENT.match(statement["Statement"])
        assert match is not None, statement["Statement"]
        action = _PARTIQL[match[1].split()[0]]
        requests.append(Request(f"dynamodb:{action}", _table(account, match[2])))
    return requests


def _s3_object(action: str) -> Mapper:
    def requests(_account: Account, parameters: Parameters) -> list[Request]:
        return [Request(f"s3:{action}", f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}")]

    return requests


def _list_objects(_account: Account, parameters: Parameters) -> list[Request]:
    context = {"s3:prefix": (parameters.get("Prefix", ""),)}
    return [Request("s3:ListBucket", f"arn:aws:s3:::{parameters['Bucket']}", context)]


def _put_metric_data(_account: Account, parameters: Parameters) -> list[Request]:
    return [Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": (parameters["Namespace"],)})]


def _describe_services(account: Account, parameters: Parameters) -> list[Request]:
    cluster = parameters["cluster"].rpartition("/")[2]
    context = {"ecs:cluster": (account.arn("ecs", f"cluster/{cluster}"),)}
    return [
        Request("ecs:DescribeServices", account.arn("ecs", f"service/{cluster}/{name}"), context)
        for name in parameters["services"]
    ]


def _parameter(action: str) -> Mapper:
    def requests(account: Account, parameters: Parameters) -> list[Request]:
        return [Request(f"ssm:{action}", account.arn("ssm", f"parameter/{parameters['Name'].lstrip('/')}"))]

    return requests


def _parameters_by_path(account: Account, parameters: Parameters) -> list[Request]:
    path = parameters["Path"].strip("/")
    return [Request("ssm:GetParametersByPath", account.arn("ssm", f"parameter/{path}"))]


OPERATIONS: dict[tuple[str, str], Mapper] = {
    **{("sqs", operation): _sqs(action) for operation, action in _SQS.items()},
    ("sqs", "list_queues"): _list_queues,
    ("dynamodb", "get_item"): _item("GetItem"),
    ("dynamodb", "put_item"): _item("PutItem"),
    ("dynamodb", "update_item"): _item("UpdateItem"),
    ("dynamodb", "delete_item"): _item("DeleteItem"),
    ("dynamodb", "query"): _query,
    ("dynamodb", "batch_get_item"): _batch_get,
    ("dynamodb", "batch_execute_statement"): _partiql,
    **{("s3", operation): _s3_object(action) for operation, action in _S3_OBJECTS.items()},
    ("s3", "list_objects_v2"): _list_objects,
    ("cloudwatch", "put_metric_data"): _put_metric_data,
    ("ecs", "describe_services"): _describe_services,
    ("ssm", "get_parameters_by_path"): _parameters_by_path,
    ("ssm", "get_parameter"): _parameter("GetParameter"),
    ("ssm", "put_parameter"): _parameter("PutParameter"),
}
