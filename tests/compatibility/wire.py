"""The list of names on the wire (wire.toml), and its comparison with what the code writes."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

WIRE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("wire.toml").read_text("utf-8"))

WHAT_TO_DO = """
Programs of an earlier release write and read these names beside this one, and deployments have them stored: see
docs/reference/wire.md. Undo the change. Where a name must go or mean something else, version the wire: write the old and the new
name for a release, or raise the `version` of the message, and say so in CHANGELOG.md and docs/howto/upgrade.md. A new name that
earlier releases can ignore only needs a row in tests/compatibility/wire.toml, and `python docs/_wire_tables.py`."""


def names_of(section: str) -> dict[str, str]:
    """The listed names of a section with their types."""
    return {name: str(row[0]) for name, row in WIRE[section]["names"].items()}


def check_json(section: str, samples: Iterable[Mapping[str, Any]]) -> None:
    """Whether JSON objects have the listed names with the listed types, and no others.

    A listed name must be in one of the samples at least; one at the top in all of them, unless it may be absent.
    """
    listed = _types(section)
    _compare(section, [list(_inside("", sample, listed)) for sample in samples])


def check_items(section: str, items: Iterable[Mapping[str, Any]], *, without: Iterable[str] = ()) -> None:
    """The same for the attributes of DynamoDB's items, apart from those of the key."""
    _compare(section, [[(name, next(iter(item[name]))) for name in item.keys() - set(without)] for item in items])


def check_names(section: str, found: Iterable[str] | Mapping[str, str]) -> None:
    """Whether these are the listed names; of a mapping also their types."""
    listed = names_of(section)
    given = dict(found) if isinstance(found, Mapping) else {name: listed.get(name, "") for name in found}
    problems = [f"{name} is not listed" for name in sorted(given.keys() - listed.keys())]
    problems += [f"{name} is gone" for name in sorted(listed.keys() - given.keys())]
    both = sorted(given.keys() & listed.keys())
    problems += [f"{name} is {given[name]!r}, not {listed[name]!r}" for name in both if given[name] != listed[name]]
    _tell(section, problems)


def pattern_of(name: str, known: Mapping[str, str]) -> re.Pattern[str]:
    """The names that a listed one with `{parts}` stands for; `known` has regular expressions of parts, others are anything."""
    parts = re.split(r"\{(.+?)\}", name)
    texts = [known.get(part, ".+") if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(texts))


def _types(section: str) -> dict[str, set[str]]:
    return {name: set(types.split(" or ")) for name, types in names_of(section).items()}


def _compare(section: str, samples: list[list[tuple[str, str]]]) -> None:
    """Compare what is listed with the names and types of each sample."""
    listed, found = _types(section), defaultdict[str, set[str]](set)
    for name, kind in (pair for sample in samples for pair in sample):
        found[name].add(kind)
    problems = [f"{name} is not listed" for name in sorted(found.keys() - listed.keys())]
    problems += [f"{name} is not written" for name in sorted(listed.keys() - found.keys())]
    for name in sorted(found.keys() & listed.keys()):
        if others := found[name] - listed[name]:
            problems.append(f"{name} is {' or '.join(sorted(others))}, not {' or '.join(sorted(listed[name]))}")
        if "absent" not in listed[name] and not _NESTED.search(name):
            left_out = sum(name not in dict(sample) for sample in samples)
            problems += [f"{name} is left out of {left_out} of {len(samples)}"] if left_out else []
    _tell(section, problems)


def _tell(section: str, problems: list[str]) -> None:
    assert not problems, f"names on the wire have changed, {section}: {'; '.join(problems)}\n{WHAT_TO_DO}"


_NESTED = re.compile(r"(?<!^)\.|\*|\[")
_KINDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _inside(owner: str, value: Any, listed: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The names inside a value with their types: `a.b`; `list[].b`; `mapping.*.b`, where the list says that keys are data."""
    if isinstance(value, list):
        for item in value:
            yield from _inside(f"{owner}[]", item, listed)
    elif isinstance(value, dict):
        data = any(name.startswith(f"{owner}.*") for name in listed)
        for key, item in value.items():
            name = f"{owner}.*" if data else f"{owner}.{key}" if owner else key
            if not data:
                yield name, _KINDS[type(item)]
            yield from _inside(name, item, listed)
