"""keys: who may call the HTTP gateway."""

from __future__ import annotations

import argparse
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .common import (
    Commands,
    UsageError,
    add_json,
    add_settings,
    command,
    count,
    note,
    positive,
    print_json,
    print_table,
    with_aws,
)

if TYPE_CHECKING:
    from ..api_keys import ApiKey
    from ..deployment import Deployment

#: The same as in gateway/settings.py, which needs an extra that this command does not.
PRIORITY_MAX = 100
NAME_MAX_CHARACTERS = 128
SECONDS_A_DAY = 86_400
#: A hundred years; for more, leave --expires-in out.
DAYS_MAX = 36_500


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = command(
        commands,
        "keys",
        "make, list and revoke API keys of the gateway",
        "Callers of a gateway that other machines can reach send an API key. Each key has the labels that it may use (some or\n"
        "all), a highest priority and a rate of requests. Gateways see a change within half a minute.",
        "  inference-engine keys create batch-team --labels 'resnet50,bert-*' --rate 20\n"
        "  inference-engine keys create on-call --operator --expires-in 30\n"
        "  inference-engine keys list\n"
        "  inference-engine keys revoke 4fz0k2m9qx",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_create(actions)
    lister = command(actions, "list", "print keys", "Print all keys, the oldest first; never their secrets.")
    _finish(lister, _list)
    revoker = command(
        actions,
        "revoke",
        "revoke a key",
        "Delete a key. Gateways refuse it within half a minute; while AWS does not answer them, within six minutes.",
        "  inference-engine keys revoke 4fz0k2m9qx",
    )
    revoker.add_argument(
        "key_id", type=_key_id, metavar="KEY_ID", help="the id that `keys list` prints, or the key itself"
    )
    _finish(revoker, _revoke)


def _add_create(actions: Commands) -> None:
    creator = command(
        actions,
        "create",
        "make a key and print it once",
        "Make a key and print it. Only a digest of it is kept: a lost key cannot be printed again, make another.",
        "  key=$(inference-engine keys create batch-team --labels 'resnet50,bert-*' --rate 20)\n"
        "  inference-engine keys create on-call --operator --expires-in 30 --json",
    )
    creator.add_argument("name", metavar="NAME", help="whose key it is; several keys may have one name")
    creator.add_argument(
        "--labels", type=_patterns, metavar="PATTERNS", help="labels it may use: 'a,b-*' (default: all of them)"
    )
    creator.add_argument(
        "--priority",
        type=_priority,
        default=0,
        metavar="N",
        help="highest priority it may request, and its own default (default: 0)",
    )
    creator.add_argument("--rate", type=positive, metavar="N", help="requests a second (default: no limit)")
    creator.add_argument(
        "--burst", type=count, metavar="N", help="requests that may come at once (default: those of one second)"
    )
    creator.add_argument(
        "--operator", action="store_true", help="it may pause the gateway, upload models and read metrics"
    )
    creator.add_argument("--expires-in", type=_days, metavar="DAYS", help="days until it expires (default: never)")
    _finish(creator, _create)


def _finish(parser: argparse.ArgumentParser, run: Any) -> None:
    add_json(parser)
    add_settings(parser)
    parser.set_defaults(run=run)


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip() for part in text.split(",") if part.strip())
    if not patterns:
        raise argparse.ArgumentTypeError(f"{text!r} names no label; write 'resnet50,bert-*', or leave --labels out")
    return patterns


def _priority(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = PRIORITY_MAX + 1
    if abs(value) > PRIORITY_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}")
    return value


def _days(text: str) -> float:
    value = positive(text)
    if value > DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {DAYS_MAX} days")
    return value


def _key_id(text: str) -> str:
    from ..api_keys import parse

    if not text:
        raise argparse.ArgumentTypeError("it is empty; `keys list` prints the existing ids")
    parts = parse(text)
    return parts[0] if parts else text


def _create(arguments: argparse.Namespace) -> int:
    if not arguments.name.strip() or len(arguments.name) > NAME_MAX_CHARACTERS or not arguments.name.isprintable():
        raise UsageError(f"NAME {arguments.name[:40]!r} must be 1 to {NAME_MAX_CHARACTERS} printable characters")
    if arguments.burst is not None and arguments.rate is None:
        raise UsageError("--burst needs --rate")

    async def create(deployment: Deployment) -> tuple[str, ApiKey]:
        return await deployment.api_keys.create(
            arguments.name,
            labels=arguments.labels,
            priority=arguments.priority,
            rate=arguments.rate,
            burst=arguments.burst or max(1, math.ceil(arguments.rate or 1)),
            operator=arguments.operator,
            expires_at=_expiry(arguments.expires_in),
        )

    text, key = with_aws(arguments, create)
    if arguments.json:
        print_json({"key": text, **_fields(key)})
    else:
        print(text)
        note(f"inference-engine: this is the only time that key {key.key_id} is shown")
    return 0


def _expiry(days: float | None) -> float | None:
    return None if days is None else float(math.ceil(time.time() + days * SECONDS_A_DAY))


def _list(arguments: argparse.Namespace) -> int:
    async def read(deployment: Deployment) -> list[ApiKey]:
        return await deployment.api_keys.all()

    keys = with_aws(arguments, read)
    if arguments.json:
        print_json([_fields(key) for key in keys])
    elif keys:
        head = ("KEY ID", "NAME", "LABELS", "PRIORITY", "RATE", "BURST", "OPERATOR", "CREATED", "EXPIRES")
        print_table(head, [_line(key) for key in keys])
    else:
        print("no keys")
    return 0


def _fields(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(exclude={"digest"}) | {"expired": key.expired(time.time())}


def _line(key: ApiKey) -> tuple[Any, ...]:
    labels = "all" if key.labels is None else ",".join(key.labels)
    rate, burst = (None, None) if key.rate is None else (key.rate, key.burst)
    expires = "expired" if key.expired(time.time()) else _day(key.expires_at)
    operator = "yes" if key.operator else "no"
    return key.key_id, key.name, labels, key.priority, rate, burst, operator, _day(key.created_at), expires


def _day(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _revoke(arguments: argparse.Namespace) -> int:
    key_id = arguments.key_id

    async def revoke(deployment: Deployment) -> bool:
        return await deployment.api_keys.revoke(key_id)

    revoked = with_aws(arguments, revoke)
    if arguments.json:
        print_json({"key_id": key_id, "revoked": revoked})
    elif revoked:
        print(f"{key_id} revoked")
    if not revoked:
        note(f"inference-engine: no key has the id {key_id!r}; `keys list` prints the existing ids")
    return 0 if revoked else 1
