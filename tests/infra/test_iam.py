"""Least privilege, both ways: what the code does is allowed to whoever does it, and little else is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import botocore.session
import pytest
from botocore import xform_name

import inference_engine
from inference_engine.aws.transport import Service
from tests.support.aws_stack import AppliedStack

from .iam import Document, Request, allowed, as_list, statements
from .iam_actions import WITHOUT_RESOURCE, Account
from .roles import FUNCTIONS, Roles
from .traffic import Call, record

PACKAGE = Path(inference_engine.__file__).parent
#: What only makes local stacks and reads their stream: on AWS, Terraform and Lambda do that.
LOCAL = ("provision.py", "streams.py")
#: How many days are lived through before an action counts as one that nobody calls.
DAYS = 3


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
def calls(
    applied_stack: AppliedStack, documents: dict[str, list[Document]], account: Account
) -> Iterator[dict[str, list[Call]]]:
    """What each role calls when it does its work: in one day, and in another where something was not called in it.

    Days differ in what happens at the same time. How long they last makes no difference: each waits for all that it began.
    """
    found: dict[str, list[Call]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in applied_stack.variables.items():
            patch.setenv(name, value)
        for _ in range(DAYS):
            for role, made in record(applied_stack).items():
                found.setdefault(role, []).extend(made)
            if not unused(found, documents, account, applied_stack):
                break
        yield found


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
    assert unused(calls, documents, account, applied_stack) == set()


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
    ("operator", "ssm:PutParameter", "ssm", "parameter/inference-engine/test/settings/bucket"),
    ("consumer-execution", "ecr:PutImage", "ecr", "repository/{prefix}-consumer"),
    ("gateway", "sqs:ReceiveMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("gateway", "sqs:SendMessage", "sqs", "{prefix}-webhooks"),
    ("gateway", "dynamodb:PutItem", "dynamodb", "table/{prefix}-registry"),
    ("gateway", "dynamodb:DeleteItem", "dynamodb", "table/{prefix}-registry"),
    ("gateway", "ssm:PutParameter", "ssm", "parameter/inference-engine/test/webhooks/secret"),
    ("gateway", "ecs:UpdateTaskProtection", "ecs", "task/{prefix}/0123"),
    ("webhooks", "dynamodb:GetItem", "dynamodb", "table/{prefix}-registry"),
    ("webhooks", "dynamodb:PutItem", "dynamodb", "table/{prefix}-registry"),
    ("producer", "ssm:GetParameter", "ssm", "parameter/inference-engine/test/webhooks/secret"),
    ("webhooks", "sqs:SendMessage", "sqs", "{prefix}-resnet50.fifo"),
    ("webhooks", "sqs:ReceiveMessage", "sqs", "{prefix}-webhooks-dead"),
    ("webhooks", "dynamodb:GetItem", "dynamodb", "table/{prefix}-jobs"),
    ("webhooks", "ssm:GetParameter", "ssm", "parameter/inference-engine/test/settings/bucket"),
    ("webhooks", "ssm:PutParameter", "ssm", "parameter/inference-engine/test/webhooks/secret"),
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


#: What is done with rows of the registry, and with API keys, its partition `keys`, by whom.
ROW_ACTIONS = ("GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem")
WITH_API_KEYS = {
    "gateway": {"GetItem"},
    "operator": {"GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"},
    **{role: set[str]() for role in ("producer", "consumer", "backlog-metrics", "dead-letters", "webhooks")},
}
FORBIDDEN_WITH_API_KEYS = [
    (role, f"dynamodb:{action}") for role, own in WITH_API_KEYS.items() for action in ROW_ACTIONS if action not in own
]


@pytest.mark.parametrize(("role", "action"), FORBIDDEN_WITH_API_KEYS)
def test_api_keys_are_out_of_reach(
    role: str, action: str, documents: dict[str, list[Document]], account: Account, applied_stack: AppliedStack
) -> None:
    """Not even together with other rows."""
    table = account.arn("dynamodb", f"table/{applied_stack.settings.registry_table}")
    for partitions in (("keys",), ("labels", "keys"), ("keys", "waiting")):
        assert not allowed(documents[role], Request(action, table, {"dynamodb:LeadingKeys": partitions}))


@pytest.mark.parametrize("role", ["producer", "gateway", "consumer", "backlog-metrics", "dead-letters"])
def test_another_policy_of_a_role_does_not_open_api_keys(
    role: str, documents: dict[str, list[Document]], account: Account, applied_stack: AppliedStack
) -> None:
    """Not even one that allows all tables, and nothing but API keys is closed by that."""
    everything = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]}
    table = account.arn("dynamodb", f"table/{applied_stack.settings.registry_table}")

    def possible(partition: str) -> set[str]:
        context = {"dynamodb:LeadingKeys": (partition,)}
        requests = {action: Request(f"dynamodb:{action}", table, context) for action in ROW_ACTIONS}
        return {action for action, request in requests.items() if allowed([*documents[role], everything], request)}

    assert possible("keys") == WITH_API_KEYS[role]
    assert possible("labels") == set(ROW_ACTIONS)


@pytest.mark.parametrize(
    ("role", "action"), [(role, f"dynamodb:{action}") for role, own in WITH_API_KEYS.items() for action in sorted(own)]
)
def test_api_keys_are_in_reach_of_whoever_needs_them(
    role: str, action: str, documents: dict[str, list[Document]], account: Account, applied_stack: AppliedStack
) -> None:
    table = account.arn("dynamodb", f"table/{applied_stack.settings.registry_table}")
    assert allowed(documents[role], Request(action, table, {"dynamodb:LeadingKeys": ("keys",)}))


def test_metrics_go_to_one_namespace_only(documents: dict[str, list[Document]]) -> None:
    def publishes(namespace: str) -> bool:
        request = Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": (namespace,)})
        return allowed(documents["backlog-metrics"], request)

    assert publishes("InferenceEngine")
    assert not publishes("Another")


@pytest.mark.parametrize("role", ["producer", "gateway"])
def test_who_reads_all_parameters_cannot_decrypt_the_webhooks_secret(
    role: str, documents: dict[str, list[Document]], account: Account, applied_stack: AppliedStack
) -> None:
    """Not even where another policy of the role allows all keys."""
    everything = {"Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}]}
    name = applied_stack.outputs["webhooks"]["secret_parameter"].lstrip("/")

    def decrypts(parameter: str) -> bool:
        context = {"kms:EncryptionContext:PARAMETER_ARN": (account.arn("ssm", f"parameter/{parameter}"),)}
        return allowed([*documents[role], everything], Request("kms:Decrypt", account.arn("kms", "key/0a"), context))

    assert not decrypts(name)
    assert decrypts(f"{name}-of-another")


def unused(
    calls: dict[str, list[Call]], documents: dict[str, list[Document]], account: Account, stack: AppliedStack
) -> set[tuple[str, str]]:
    """Roles with actions that they are allowed and that neither they nor AWS in their name has called."""
    used = {
        (role, request.action)
        for role, made in calls.items()
        for call in made
        for request in account.requests(call.service, call.operation, call.parameters)
    } | {(role, request.action) for role, request in in_the_name_of_roles(stack, account)}
    granted = {
        (role, action)
        for role, policies in documents.items()
        for document in policies
        for statement in statements(document)
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }
    return granted - used


def operations_in_the_code() -> set[tuple[str, str]]:
    """Every string in the code that is the name of an operation of a service that the transport knows.

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
        for path in PACKAGE.rglob("*.py")
        if path.name not in LOCAL
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {(known[text], text) for text in texts & known.keys()}


def in_the_name_of_roles(stack: AppliedStack, account: Account) -> list[tuple[str, Request]]:
    """What AWS itself does as a role, of which the code knows nothing."""
    task = account.arn("ecs", f"task/{stack.outputs['cluster_name']}/0123456789abcdef")
    return [
        *_of_functions(stack, account),
        # ECS Developer Guide, "Task scale-in protection endpoint": with the task's own role
        ("consumer", Request("ecs:UpdateTaskProtection", task)),
        ("consumer", Request("ecs:GetTaskProtection", task)),
        *_of_execution("consumer", list(stack.outputs["containers"]["0"].values()), stack, account),
        *_of_execution("gateway", [stack.outputs["gateway"]["container"]], stack, account),
    ]


def _of_functions(stack: AppliedStack, account: Account) -> list[tuple[str, Request]]:
    """What Lambda does as its functions' roles: reading their event sources, giving up on them, logging."""
    sources = {
        "dead-letters": stack.outputs["queues"]["dead_letters"]["arn"],
        "webhooks": stack.outputs["webhooks"]["queue"]["arn"],
    }
    stream = stack.outputs["tables"]["jobs"]["stream_arn"]
    return [
        # Lambda Developer Guide, "Using Lambda with Amazon SQS", "Execution role permissions"
        *(
            (role, Request(f"sqs:{action}", queue))
            for role, queue in sources.items()
            for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
        ),
        # Lambda Developer Guide, "Using Lambda with Amazon DynamoDB", "Execution role permissions"
        *(
            ("webhooks", Request(f"dynamodb:{action}", stream))
            for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
        ),
        # Lambda Developer Guide, "Retain discarded batch records for a DynamoDB event source": with the function's own role
        ("webhooks", Request("sqs:SendMessage", stack.outputs["webhooks"]["dead_queue"]["arn"])),
        # Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs"
        *(
            (role, Request(f"logs:{action}", account.arn("logs", f"log-group:{group}:log-stream:x")))
            for role in FUNCTIONS
            for group in [f"/aws/lambda/{stack.prefix}-{role}"]
            for action in ("CreateLogStream", "PutLogEvents")
        ),
    ]


def _of_execution(
    name: str, containers: list[dict[str, Any]], stack: AppliedStack, account: Account
) -> list[tuple[str, Request]]:
    """What ECS does to start a task (ECS Developer Guide, "Amazon ECS task execution IAM role")."""
    role = f"{name}-execution"
    repository = account.arn("ecr", f"repository/{stack.outputs['repository_urls'][name].partition('/')[2]}")
    groups = [one["logConfiguration"]["options"]["awslogs-group"] for one in containers if "logConfiguration" in one]
    return [
        (role, Request("ecr:GetAuthorizationToken", "*")),
        *(
            (role, Request(f"ecr:{action}", repository))
            for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
        ),
        *(
            (role, Request(f"logs:{action}", account.arn("logs", f"log-group:{group}:log-stream:x")))
            for group in groups
            for action in ("CreateLogStream", "PutLogEvents")
        ),
    ]


def _names_nothing(resource: str) -> bool:
    return resource == "*" or resource.split(":", 5)[-1] in ("", "*")
