"""Whether IAM policies allow a request, as far as policies of this project go; what it does not know, it refuses to judge.

Rules from the IAM User Guide: "Policy evaluation logic" (an explicit Deny wins, nothing is allowed that no statement
allows), "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued context keys".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Document = Mapping[str, Any]


class UnknownPolicyElementError(Exception):
    """A policy uses something that this evaluator does not know."""


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource; `context` has the values of condition keys, by key."""

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        context = ", ".join(f"{key}={'|'.join(values)}" for key, values in sorted(self.context.items()))
        return f"{self.action} on {self.resource}" + (f" ({context})" if context else "")


def allowed(documents: Iterable[Document], request: Request) -> bool:
    """Whether identity policies together allow the request. Raises UnknownPolicyElementError."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in statements(document)
        if _applies(statement, request)
    }
    return "Allow" in effects and "Deny" not in effects


def statements(document: Document) -> list[dict[str, Any]]:
    """The statements of a policy document."""
    found = as_list(document["Statement"])
    for statement in found:
        if unknown := statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}:
            raise UnknownPolicyElementError(f"statement {statement.get('Sid')!r} has {', '.join(sorted(unknown))}")
    return found


def as_list(value: Any) -> list[Any]:
    """IAM takes a single value for a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _any_matches(statement["Action"], request.action, ignore_case=True)
        and _any_matches(statement["Resource"], request.resource)
        and _conditions_hold(statement.get("Condition", {}), request.context)
    )


def _any_matches(patterns: Any, value: str, *, ignore_case: bool = False) -> bool:
    return any(_pattern(pattern, ignore_case).fullmatch(value) for pattern in as_list(patterns))


@cache
def _pattern(text: str, ignore_case: bool = False) -> re.Pattern[str]:
    if "${" in text:
        raise UnknownPolicyElementError(f"policy variable in {text!r}")
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text)
    return re.compile(expression, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringLike": lambda wanted, value: _pattern(wanted).fullmatch(value) is not None,
    # "ArnEquals and ArnLike behave identically"; ARNs here have no wildcards but those of a name's end.
    "ArnEquals": lambda wanted, value: _pattern(wanted).fullmatch(value) is not None,
    "ArnLike": lambda wanted, value: _pattern(wanted).fullmatch(value) is not None,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}


def _conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, Sequence[str]]) -> bool:
    return all(
        _holds(operator, [str(value) for value in as_list(wanted)], context.get(key, ()))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, wanted: Sequence[str], values: Sequence[str]) -> bool:
    quantifier, _, name = operator.rpartition(":")
    if name not in _OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise UnknownPolicyElementError(f"condition operator {operator}")
    compare = _OPERATORS[name]
    matches = [any(compare(one, value) for one in wanted) for value in values]
    # "ForAllValues … returns true if there are no context keys in the request"; the others need a value.
    return all(matches) if quantifier == "ForAllValues" else any(matches)
