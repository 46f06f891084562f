"""The AWS emulator's process, run by the interpreter of its own environment; adds what it lacks of DynamoDB Streams.

On AWS every write to a table with a stream adds a record to the stream. ministack adds none for PartiQL statements, which
write all job records. Here they add one; where a later release does so itself, nothing more is added.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ministack.app import main
from ministack.services import dynamodb

Statement = Callable[..., Any]


def stream_statements() -> None:
    """Make PartiQL's writes add stream records. Raises AttributeError where ministack is built differently."""
    for name in ("_partiql_insert", "_partiql_update", "_partiql_delete"):
        setattr(dynamodb, name, _streamed(getattr(dynamodb, name)))


def _streamed(statement: Statement) -> Statement:
    @functools.wraps(statement)
    def execute(table: dict[str, Any], parsed: dict[str, Any], *rest: Any) -> Any:
        name = table["TableName"]
        position = dynamodb.stream_end_position(name)
        before = _item(table, parsed)
        answer = statement(table, parsed, *rest)
        after = _item(table, parsed)
        # Each write replaces the whole item, and never changes it in place.
        if after is not before and dynamodb.stream_end_position(name) == position:
            event = "REMOVE" if after is None else "INSERT" if before is None else "MODIFY"
            dynamodb._emit_stream_event(name, event, before, after)
        return answer

    return execute


def _item(table: dict[str, Any], parsed: dict[str, Any]) -> dict[str, Any] | None:
    """The item that a statement names, as it stands in the table."""
    given = parsed.get("item")
    if given:
        given = given["M"] if set(given) == {"M"} else given
        key = dynamodb._extract_key_val(given.get(table["pk_name"]))
        sort_key = dynamodb._extract_key_val(given.get(table["sk_name"])) if table["sk_name"] else "__no_sort__"
    else:
        key, sort_key, _, _ = dynamodb._partiql_key_target(table, parsed)
    found: dict[str, Any] | None = table["items"].get(key, {}).get(sort_key)
    return found


if __name__ == "__main__":
    try:
        stream_statements()
    except AttributeError as error:
        print(f"this release of the emulator delivers no webhooks: {error}", file=sys.stderr)
    sys.exit(main())
