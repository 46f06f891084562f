"""The evaluator of policies that the other tests rely on, against rules of the IAM User Guide."""

from __future__ import annotations

from typing import Any

import pytest

from .iam import Request, UnknownPolicyElementError, allowed

QUEUE = "arn:aws:sqs:us-east-1:111122223333:prod-resnet50.fifo"


def policy(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"} | statement}


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("sqs:SendMessage", QUEUE, True),
        ("SQS:sendmessage", QUEUE, True),
        ("sqs:Send*", QUEUE, True),
        ("sqs:SendMessag?", QUEUE, True),
        ("sqs:Send", QUEUE, False),
        (["sqs:ReceiveMessage", "sqs:SendMessage"], QUEUE, True),
        ("sqs:SendMessage", "*", True),
        ("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:prod-*.fifo", True),
        ("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:PROD-*.fifo", False),
        ("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:prod-", False),
        # Not a regular expression: '.' and '[' are themselves.
        ("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:prod.resnet50.fifo", False),
    ],
)
def test_actions_and_resources_match_by_their_wildcards(action: Any, resource: str, expected: bool) -> None:
    assert allowed([policy(Action=action, Resource=resource)], Request("sqs:SendMessage", QUEUE)) is expected


def test_nothing_is_allowed_by_default_and_a_deny_wins() -> None:
    request = Request("sqs:SendMessage", QUEUE)
    assert not allowed([], request)
    assert not allowed([policy(Action="sqs:DeleteQueue")], request)
    assert allowed([policy()], request)
    assert not allowed([policy(), policy(Effect="Deny", Action="sqs:SendMessage")], request)


@pytest.mark.parametrize(
    ("operator", "wanted", "values", "expected"),
    [
        ("StringEquals", "waiting", ("waiting",), True),
        ("StringEquals", ["labels", "waiting"], ("waiting",), True),
        ("StringEquals", "wait*", ("waiting",), False),
        ("StringEquals", "waiting", (), False),
        ("StringLike", "wait*", ("waiting",), True),
        ("StringLike", "wait*", ("labels",), False),
        ("ForAllValues:StringEquals", "waiting", ("waiting", "waiting"), True),
        ("ForAllValues:StringEquals", "waiting", ("waiting", "labels"), False),
        ("ForAllValues:StringEquals", "waiting", (), True),
        ("ForAnyValue:StringEquals", "waiting", ("labels", "waiting"), True),
        ("ForAnyValue:StringEquals", "waiting", (), False),
        ("Bool", "false", ("False",), True),
        ("ArnLike", "arn:aws:ecs:*:*:cluster/prod", ("arn:aws:ecs:us-east-1:1:cluster/prod",), True),
    ],
)
def test_condition_operators(operator: str, wanted: Any, values: tuple[str, ...], expected: bool) -> None:
    document = policy(Condition={operator: {"dynamodb:LeadingKeys": wanted}})
    assert allowed([document], Request("sqs:SendMessage", QUEUE, {"dynamodb:LeadingKeys": values})) is expected


@pytest.mark.parametrize(
    ("values", "expected"), [(("labels",), True), (("keys",), False), (("labels", "keys"), False), ((), True)]
)
def test_a_deny_by_condition_closes_what_its_condition_names(values: tuple[str, ...], expected: bool) -> None:
    denied = policy(Effect="Deny", Condition={"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": "keys"}})
    request = Request("sqs:SendMessage", QUEUE, {"dynamodb:LeadingKeys": values})
    assert allowed([policy(), denied], request) is expected


def test_all_conditions_of_a_statement_must_hold() -> None:
    document = policy(Condition={"StringEquals": {"a:one": "1", "a:two": "2"}})
    assert allowed([document], Request("sqs:SendMessage", QUEUE, {"a:one": ("1",), "a:two": ("2",)}))
    assert not allowed([document], Request("sqs:SendMessage", QUEUE, {"a:one": ("1",), "a:two": ("3",)}))


@pytest.mark.parametrize(
    "statement",
    [
        {"NotAction": "sqs:*"},
        {"NotResource": "*"},
        {"Condition": {"NumericLessThan": {"a:b": 1}}},
        {"Resource": "arn:aws:s3:::home/${aws:username}"},
    ],
)
def test_what_it_does_not_know_it_does_not_judge(statement: dict[str, Any]) -> None:
    with pytest.raises(UnknownPolicyElementError):
        allowed([policy(**statement)], Request("sqs:SendMessage", QUEUE, {"a:b": ("0",)}))
