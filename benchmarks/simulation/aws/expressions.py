"""The parts of DynamoDB's languages that the library writes: conditions, updates, and PartiQL statements.

Comparisons joined by AND and OR (without parentheses), `attribute_not_exists`, `SET` (with `if_not_exists`) and `ADD`. Each
text is parsed once: there are few texts and many calls.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Item = dict[str, dict[str, Any]]
_Names = Mapping[str, str]
_Values = Mapping[str, Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISON = re.compile(r"(\S+) (=|<>|<=|>=|<|>) (\S+)")
_EXISTENCE = re.compile(r"attribute_(not_)?exists\((\S+)\)")
_ASSIGNMENT = re.compile(r"([\w#]+)(?: = | )(?:(if_not_exists)\([\w#]+, )?(:\w+)")
#: A change by `if_not_exists`, which applies only where there is no value.
_ONCE = "SET ONCE"
_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_UPDATE = re.compile(r'UPDATE "([^"]+)" SET (.*) WHERE (.*)')


@dataclass(frozen=True, slots=True)
class _Term:
    name: str
    compare: str
    value: str


@lru_cache(maxsize=256)
def _condition(text: str) -> tuple[tuple[_Term, ...], ...]:
    return tuple(tuple(_term(part) for part in either.split(" AND ")) for either in text.split(" OR "))


def _term(text: str) -> _Term:
    if match := _EXISTENCE.fullmatch(text):
        return _Term(match[2], "absent" if match[1] else "present", "")
    if match := _COMPARISON.fullmatch(text):
        return _Term(match[1], match[2], match[3])
    raise NotImplementedError(f"condition {text!r}")


def holds(text: str, item: Item | None, names: _Names, values: _Values) -> bool:
    """Whether a condition expression is true of an item (None if there is no item)."""
    return any(all(_term_holds(term, item or {}, names, values) for term in terms) for terms in _condition(text))


def _term_holds(term: _Term, item: Item, names: _Names, values: _Values) -> bool:
    found = item.get(names.get(term.name, term.name))
    if term.compare in ("absent", "present"):
        return (found is None) is (term.compare == "absent")
    return found is not None and compare(found, term.compare, values[term.value])


def compare(left: dict[str, Any], relation: str, right: dict[str, Any]) -> bool:
    """Whether two attribute values have this relation; values of different types are only unequal."""
    if left.keys() != right.keys():
        return relation == "<>"
    return _COMPARE[relation](_comparable(left), _comparable(right))


def _comparable(value: dict[str, Any]) -> Any:
    return float(value["N"]) if "N" in value else next(iter(value.values()))


@lru_cache(maxsize=256)
def _changes(text: str) -> tuple[tuple[str, str, str], ...]:
    """The (SET or ADD, name, value) of an update expression."""
    parts = re.split(r"\b(SET|ADD) ", text)[1:]
    changes = []
    for verb, assignments in zip(parts[::2], parts[1::2], strict=True):
        for name, once, value in _ASSIGNMENT.findall(assignments):
            changes.append((_ONCE if once else verb, name, value))
    return tuple(changes)


def updated(text: str, item: Item, names: _Names, values: _Values) -> Item:
    """The item after an update expression."""
    result = dict(item)
    for verb, name, value in _changes(text):
        name, change = names.get(name, name), values[value]
        if verb == _ONCE and name in result:
            continue
        if verb == "ADD":
            change = {"N": repr(float(result.get(name, {}).get("N", 0)) + float(change["N"])).removesuffix(".0")}
        result[name] = change
    return result


@dataclass(frozen=True, slots=True)
class Statement:
    """A PartiQL statement with `?` for each value: first for the fields that it writes, then for the conditions."""

    table: str
    inserts: bool
    fields: tuple[str, ...]
    conditions: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def statement(text: str) -> Statement:
    """What a statement does."""
    if match := _INSERT.fullmatch(text):
        return Statement(match[1], True, tuple(re.findall(r"'([^']+)': \?", match[2])))
    if match := _UPDATE.fullmatch(text):
        quoted = re.compile(r'"([^"]+)"=\?')
        return Statement(match[1], False, tuple(quoted.findall(match[2])), tuple(quoted.findall(match[3])))
    raise NotImplementedError(f"statement {text!r}")


def bind(text: str, values: list[dict[str, Any]]) -> tuple[Statement, Item, Item]:
    """A statement with the fields that it writes and the fields that it compares."""
    parsed = statement(text)
    written = len(parsed.fields)
    return (
        parsed,
        dict(zip(parsed.fields, values[:written], strict=True)),
        dict(zip(parsed.conditions, values[written:], strict=True)),
    )
