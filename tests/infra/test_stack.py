"""Both stacks, applied to emulators: again without a change, like what the library makes itself, and gone without a trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from inference_engine.aws.parameters import deployed_settings
from inference_engine.aws.provision import provision_now
from inference_engine.deployment import Deployment
from inference_engine.labels import (
    dead_letter_queue_name,
    placement_queue_name,
    queue_name,
    webhook_dead_queue_name,
    webhook_queue_name,
)
from inference_engine.settings import Settings
from tests.support.aws_stack import AppliedStack

#: A label that the example declares.
LABEL = "resnet50"
#: Attributes of a queue that tell of its life, and not what was asked for.
QUEUE_LIFE = ("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "Approximate")


@pytest.fixture
def environment(applied_stack: AppliedStack, monkeypatch: pytest.MonkeyPatch) -> AppliedStack:
    """The stack, with this process's environment leading to it."""
    for name, value in applied_stack.variables.items():
        monkeypatch.setenv(name, value)
    return applied_stack


@pytest.fixture
def provisioned(environment: AppliedStack) -> Iterator[Settings]:
    """What the library makes with the same settings, beside the stack and under another prefix."""
    names = {"prefix": "own", "jobs_table": "own-jobs", "registry_table": "own-registry", "bucket": None}
    settings = environment.settings.model_copy(update=names)
    provision_now(settings)
    asyncio.run(_post_to(settings, LABEL))
    yield settings
    sqs, dynamodb = environment.emulators.client("sqs"), environment.emulators.client("dynamodb")
    for url in sqs.list_queues(QueueNamePrefix="own-")["QueueUrls"]:
        sqs.delete_queue(QueueUrl=url)
    for table in (settings.jobs_table, settings.registry_table):
        dynamodb.delete_table(TableName=table)


def test_a_second_apply_would_change_nothing(applied_stack: AppliedStack) -> None:
    assert applied_stack.terraform.pending_changes() == ""


def test_clients_find_their_settings_by_the_name_of_the_environment(environment: AppliedStack) -> None:
    assert deployed_settings(environment.environment) == environment.settings


@pytest.mark.parametrize("kind", ["dead letters", "placement", "label", "webhooks", "dead webhooks"])
def test_queues_are_what_the_library_makes(kind: str, environment: AppliedStack, provisioned: Settings) -> None:
    of_terraform = _queue(environment, environment.settings, kind)
    of_library = _queue(environment, provisioned, kind)
    if environment.message_max_bytes is not None:
        # What versions of the provider before 6.8 refuse to ask for, and all that may differ.
        of_library["MaximumMessageSize"] = str(environment.message_max_bytes)
    assert of_terraform == of_library


def test_callers_have_their_whole_time_while_tasks_are_replaced(applied_stack: AppliedStack) -> None:
    resources = applied_stack.terraform.resources()
    (group,) = [one["values"] for one in resources if one["type"] == "aws_lb_target_group"]
    (balancer,) = [one["values"] for one in resources if one["type"] == "aws_lb"]
    variables = {one["name"]: one["value"] for one in applied_stack.outputs["gateway"]["container"]["environment"]}
    longest = float(variables["INFERENCE_ENGINE_GATEWAY_TIMEOUT_MAX_SECONDS"])
    assert float(group["deregistration_delay"]) == longest
    assert balancer["idle_timeout"] > longest


@pytest.mark.parametrize("name", ["jobs_table", "registry_table"])
def test_tables_are_what_the_library_makes(name: str, environment: AppliedStack, provisioned: Settings) -> None:
    of_terraform = _table(environment, getattr(environment.settings, name))
    assert of_terraform == _table(environment, getattr(provisioned, name))
    assert of_terraform["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}


@pytest.mark.parametrize("name", ["jobs_table", "registry_table"])
def test_tables_can_be_restored_to_any_moment(name: str, applied_stack: AppliedStack) -> None:
    dynamodb = applied_stack.emulators.client("dynamodb")
    backups = dynamodb.describe_continuous_backups(TableName=getattr(applied_stack.settings, name))
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_a_destroy_leaves_nothing(destroyed_stack: AppliedStack) -> None:
    assert destroyed_stack.terraform.resources() == []
    assert destroyed_stack.leftovers() == {}


async def _post_to(settings: Settings, label: str) -> None:
    """Make the queue of a label as a first post does."""
    deployment = Deployment.for_producer(settings)
    await deployment.queues.of_label(label)
    await deployment.close()


def _queue(stack: AppliedStack, settings: Settings, kind: str) -> dict[str, Any]:
    """The attributes of one of the deployment's queues, with the prefix replaced where it occurs."""
    names = {
        "dead letters": dead_letter_queue_name(settings.prefix),
        "placement": placement_queue_name(settings.prefix, 0, settings.cells),
        "label": queue_name(settings.prefix, LABEL),
        "webhooks": webhook_queue_name(settings.prefix),
        "dead webhooks": webhook_dead_queue_name(settings.prefix),
    }
    sqs = stack.emulators.client("sqs")
    url = sqs.get_queue_url(QueueName=names[kind])["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    chosen = {name: value for name, value in attributes.items() if not name.startswith(QUEUE_LIFE)}
    if "RedrivePolicy" in chosen:
        policy = json.loads(chosen["RedrivePolicy"])
        policy["deadLetterTargetArn"] = policy["deadLetterTargetArn"].replace(f":{settings.prefix}-", ":PREFIX-")
        chosen["RedrivePolicy"] = policy
    return chosen


def _table(stack: AppliedStack, name: str) -> dict[str, Any]:
    """How a table was made: keys, billing, expiry."""
    dynamodb = stack.emulators.client("dynamodb")
    table = dynamodb.describe_table(TableName=name)["Table"]
    billing = {"BillingMode": table["BillingModeSummary"]["BillingMode"]}
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    attributes = sorted(table["AttributeDefinitions"], key=lambda attribute: str(attribute["AttributeName"]))
    return {
        "KeySchema": table["KeySchema"],
        "AttributeDefinitions": attributes,
        "BillingModeSummary": billing,
        "TimeToLive": expiry,
        "StreamSpecification": table.get("StreamSpecification", {"StreamEnabled": False}),
    }
