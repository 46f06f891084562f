"""Least privilege, both ways: what the code does is allowed to whoever does it, and little else is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import botocore.session
import pytest
from botocore import xform_name

import inference_engine.aws
from inference_engine.aws.session import Service
from tests.support.aws_stack import AppliedStack

from .iam import Document, Request, allowed, as_list, statements
from .iam_actions import WITHOUT_RESOURCE, Account
from .roles import Roles
from .traffic import Call, record

AWS_FOLDER = Path(inference_engine.aws.__file__).parent
#: What only provisions local stacks and tests: on AWS, Terraform does that.
PROVISIONING = "provision.py"


@pytest.fixture(scope="module")
def roles(applied_stack: AppliedStack) -> Roles:
    """The policies that were applied."""
    return Roles(applied_stack.terraform.resources(), applied_stack.prefix)


@pytest.fixture(scope="module")
def documents(roles: Roles) -> dict[str, list[Document]]:
    """The same by role."""
    return roles.documents()


@pytest.fixture(scope="module")
def account(applied_stack: AppliedStack) -> Account:
    """Where the stack is."""
    dead_letters = applied_stack.outputs["queues"]["dead_letters"]["arn"]
    _, _, _, region, number, _ = dead_letters.split(":")
    return Account(region, number)


@pytest.fixture(scope="module")
def calls(applied_stack: AppliedStack) -> Iterator[dict[str, list[Call]]]:
    """What each role calls when it does its work."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in applied_stack.variables.items():
            patch.setenv(name, value)
        yield record(applied_stack)


def test_every_call_is_allowed_to_whoever_makes_it(
    calls: dict[str, list[Call]], documents: dict[str, list[Document]], account: Account
) -> None:
    requests = {
        (role, request)
        for role, made in calls.items()
        for call in made
        for request in account.requests(call.service, call.operation, call.parameters)
    }
    assert len(requests) > 50
    assert [f"{role}: {request}" for role, request in requests if not allowed(documents[role], request)] == []


def test_every_operation_in_the_code_was_called_by_some_role(calls: dict[str, list[Call]]) -> None:
    called = {(call.service, call.operation) for made in calls.values() for call in made}
    assert operations_in_the_code() == called


def test_what_aws_does_in_the_name_of_a_role_is_allowed(
    applied_stack: AppliedStack, documents: dict[str, list[Document]], account: Account
) -> None:
    refused = [
        f"{role}: {request}"
        for role, request in in_the_name_of_roles(applied_stack, account)
        if not allowed(documents[role], request)
    ]
    assert refused == []


def test_a_bare_star_stands_only_where_an_action_has_no_resource(roles: Roles) -> None:
    wide = [
        (address, action, resource)
        for address, document in roles.all_policies().items()
        for statement in statements(document)
        if statement["Effect"] == "Allow"
        for resource in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
        if _names_nothing(resource) and action not in WITHOUT_RESOURCE
    ]
    assert wide == []


def test_no_policy_allows_actions_by_pattern(roles: Roles) -> None:
    patterns = [
        (address, action)
        for address, document in roles.all_policies().items()
        for statement in statements(document)
        for action in as_list(statement["Action"])
        if "*" in action or "?" in action
    ]
    assert patterns == []


def test_policies_grant_nothing_that_nobody_calls(
    calls: dict[str, list[Call]], documents: dict[str, list[Document]], account: Account, applied_stack: AppliedStack
) -> None:
    used = {
        (role, request.action)
        for role, made in calls.items()
        for call in made
        for request in account.requests(call.service, call.operation, call.parameters)
    } | {(role, request.action) for role, request in in_the_name_of_roles(applied_stack, account)}
    granted = {
        (role, action)
        for role, policies in documents.items()
        for document in policies
        for statement in statements(document)
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }
    assert granted - used == set()


#: What a role must not have, as its whole name of an action and what it would be done to.
FORBIDDEN = [
    ("producer", "sqs:ReceiveMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("producer", "sqs:DeleteMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("producer", "sqs:PurgeQueue", "sqs", "{prefix}-resnet50.fifo"),
    ("producer", "dynamodb:DeleteTable", "dynamodb", "table/{prefix}-jobs"),
    ("producer", "dynamodb:PutItem", "dynamodb", "table/{prefix}-registry"),
    ("producer", "dynamodb:Scan", "dynamodb", "table/{prefix}-jobs"),
    ("producer", "sqs:SendMessage", "sqs", "{prefix}2-resnet50.fifo"),
    ("producer", "sqs:SendMessage", "sqs", "{prefix}-dead-letters.fifo"),
    ("producer", "dynamodb:PartiQLDelete", "dynamodb", "table/{prefix}-jobs"),
    ("producer", "ssm:GetParametersByPath", "ssm", "parameter/inference-engine/another"),
    ("consumer", "sqs:DeleteQueue", "sqs", "{prefix}-resnet50.fifo"),
    ("consumer", "sqs:SetQueueAttributes", "sqs", "{prefix}-resnet50.fifo"),
    ("consumer", "dynamodb:DeleteTable", "dynamodb", "table/{prefix}-registry"),
    ("consumer", "ecs:UpdateService", "ecs", "service/{prefix}/{prefix}-consumer"),
    ("consumer", "ecs:UpdateTaskProtection", "ecs", "task/another/0123"),
    ("backlog-metrics", "sqs:DeleteMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("backlog-metrics", "sqs:SendMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("backlog-metrics", "ecs:UpdateService", "ecs", "service/{prefix}/{prefix}-consumer"),
    ("dead-letters", "sqs:ReceiveMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("dead-letters", "sqs:SendMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("operator", "sqs:DeleteQueue", "sqs", "{prefix}-resnet50.fifo"),
    ("execution", "ecr:PutImage", "ecr", "repository/{prefix}-consumer"),
]


@pytest.mark.parametrize(("role", "action", "service", "name"), FORBIDDEN)
def test_what_a_role_has_no_business_with_is_refused(
    role: str,
    action: str,
    service: str,
    name: str,
    documents: dict[str, list[Document]],
    account: Account,
    applied_stack: AppliedStack,
) -> None:
    resource = account.arn(service, name.format(prefix=applied_stack.prefix))
    assert not allowed(documents[role], Request(action, resource))


@pytest.mark.parametrize(
    ("role", "action", "partition"),
    [("producer", "dynamodb:UpdateItem", "waiting"), ("dead-letters", "dynamodb:PutItem", "dead-letters")],
)
def test_rows_of_other_partitions_are_out_of_reach(
    role: str,
    action: str,
    partition: str,
    documents: dict[str, list[Document]],
    account: Account,
    applied_stack: AppliedStack,
) -> None:
    table = account.arn("dynamodb", f"table/{applied_stack.settings.registry_table}")
    assert allowed(documents[role], Request(action, table, {"dynamodb:LeadingKeys": (partition,)}))
    assert not allowed(documents[role], Request(action, table, {"dynamodb:LeadingKeys": ("cell#0",)}))
    assert not allowed(documents[role], Request(action, table, {"dynamodb:LeadingKeys": (partition, "labels")}))


def test_metrics_go_to_one_namespace_only(documents: dict[str, list[Document]]) -> None:
    def publishes(namespace: str) -> bool:
        request = Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": (namespace,)})
        return allowed(documents["backlog-metrics"], request)

    assert publishes("InferenceEngine")
    assert not publishes("Another")


def operations_in_the_code() -> set[tuple[str, str]]:
    """Every string in `aws/` that is the name of an operation of a service that the transport knows.

    Whether it stands in a `call` or is handed to one makes no difference.
    """
    session = botocore.session.get_session()
    known = {
        xform_name(operation): service
        for service in get_args(Service)
        for operation in session.get_service_model(service).operation_names
    }
    texts = {
        node.value
        for path in AWS_FOLDER.glob("*.py")
        if path.name != PROVISIONING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {(known[text], text) for text in texts & known.keys()}


def in_the_name_of_roles(stack: AppliedStack, account: Account) -> list[tuple[str, Request]]:
    """What AWS itself does as a role, of which the code knows nothing."""
    dead_letters = stack.outputs["queues"]["dead_letters"]["arn"]
    task = account.arn("ecs", f"task/{stack.outputs['cluster_name']}/0123456789abcdef")
    url = stack.outputs["repository_urls"]["consumer"]
    repository = account.arn("ecr", f"repository/{url.partition('/')[2]}")
    containers = stack.outputs["containers"]["0"]
    groups = [
        one["logConfiguration"]["options"]["awslogs-group"] for one in containers.values() if "logConfiguration" in one
    ]
    return [
        # Lambda Developer Guide, "Using Lambda with Amazon SQS", "Execution role permissions"
        *(
            ("dead-letters", Request(f"sqs:{action}", dead_letters))
            for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
        ),
        # Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs"
        *(
            (role, Request(f"logs:{action}", account.arn("logs", f"log-group:{group}:log-stream:x")))
            for role, group in (
                ("backlog-metrics", f"/aws/lambda/{stack.prefix}-backlog-metrics"),
                ("dead-letters", f"/aws/lambda/{stack.prefix}-dead-letters"),
            )
            for action in ("CreateLogStream", "PutLogEvents")
        ),
        # ECS Developer Guide, "Task scale-in protection endpoint": with the task's own role
        ("consumer", Request("ecs:UpdateTaskProtection", task)),
        ("consumer", Request("ecs:GetTaskProtection", task)),
        # ECS Developer Guide, "Amazon ECS task execution IAM role"
        ("execution", Request("ecr:GetAuthorizationToken", "*")),
        *(
            ("execution", Request(f"ecr:{action}", repository))
            for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
        ),
        *(
            ("execution", Request(f"logs:{action}", account.arn("logs", f"log-group:{group}:log-stream:x")))
            for group in groups
            for action in ("CreateLogStream", "PutLogEvents")
        ),
    ]


def _names_nothing(resource: str) -> bool:
    return resource == "*" or resource.split(":", 5)[-1] in ("", "*")
