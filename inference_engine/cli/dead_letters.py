"""dlq: list, redrive and purge the dead letters of a deployment."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .common import Commands, UsageError, add_json, add_settings, command, note, print_json, print_table, with_aws

if TYPE_CHECKING:
    from ..aws.queues import Backlog
    from ..dead_letters.handler import Buried
    from ..dead_letters.redrive import RedriveOutcome
    from ..dead_letters.store import DeadLetter
    from ..deployment import Deployment

#: Length of a reason in the table; --json prints all of it.
REASON_MAX_CHARACTERS = 70


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = command(
        commands,
        "dlq",
        "list, redrive, purge or collect dead letters",
        "A message that was received too often and never finished is dead-lettered: its job ends as ERROR (DeadLettered),\n"
        "and the message is kept as a dead letter for 14 days, under the id that posting returned.",
        "  inference-engine dlq list --label resnet50\n"
        "  inference-engine dlq redrive 7b2c…\n"
        "  inference-engine dlq redrive --all --label resnet50\n"
        "  inference-engine dlq purge --all --yes",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_list(actions)
    _add_redrive(actions)
    _add_purge(actions)
    collector = command(
        actions,
        "collect",
        "do once what the dead-letter Lambda does",
        "Take all messages off the dead-letter queue: end their jobs as ERROR and keep the messages as dead letters.\n"
        "For deployments and local stacks without the Lambda. The exit code is 1 when a message had to be left.",
        "  inference-engine dlq collect && inference-engine dlq list",
    )
    _finish(collector, _collect)


def _add_list(actions: Commands) -> None:
    lister = command(
        actions,
        "list",
        "print the dead letters that are kept",
        "Print the dead letters that are kept, and how many messages are still in the dead-letter queue.",
        "  inference-engine dlq list --label resnet50\n  inference-engine dlq list --json | jq -r '.letters[].message_id'",
    )
    lister.add_argument("--label", metavar="LABEL", help="only dead letters of this label")
    _finish(lister, _list)


def _add_redrive(actions: Commands) -> None:
    redriver = command(
        actions,
        "redrive",
        "put jobs back on their queues",
        "Put jobs back on their queues; callers that poll for them find them under the same message id.\n"
        "Remove the cause first. The exit code is 1 when a job could not be redriven.",
        "  inference-engine dlq redrive 7b2c…\n  inference-engine dlq redrive --all --label resnet50 --ignore-deadline",
    )
    _add_choice(redriver)
    redriver.add_argument(
        "--ignore-deadline", action="store_true", help="drop deadlines that have passed instead of skipping such jobs"
    )
    _finish(redriver, _redrive)


def _add_purge(actions: Commands) -> None:
    purger = command(
        actions,
        "purge",
        "delete dead letters for good",
        "Delete dead letters for good. The records of their jobs stay ERROR until they expire.",
        "  inference-engine dlq purge 7b2c…\n  inference-engine dlq purge --all --label resnet50 --yes",
    )
    _add_choice(purger)
    purger.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    _finish(purger, _purge)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("message_ids", metavar="MESSAGE_ID", nargs="*", help="the ids that `dlq list` prints")
    parser.add_argument("--all", action="store_true", help="all dead letters, or with --label all of a label")
    parser.add_argument("--label", metavar="LABEL", help="with --all: only dead letters of this label")


def _finish(parser: argparse.ArgumentParser, run: Any) -> None:
    add_json(parser)
    add_settings(parser)
    parser.set_defaults(run=run)


def _list(arguments: argparse.Namespace) -> int:
    async def read(deployment: Deployment) -> tuple[list[DeadLetter], Backlog]:
        return await deployment.dead_letters.store.all(arguments.label), await deployment.dead_letters.waiting()

    dead_letters, waiting = with_aws(arguments, read)
    if arguments.json:
        rows = [one.model_dump() | {"redrivable": one.redrivable} for one in dead_letters]
        print_json({"letters": rows, "queue": {"visible": waiting.visible, "in_flight": waiting.in_flight}})
        return 0
    if dead_letters:
        print_table(("MESSAGE ID", "LABEL", "DEAD SINCE", "REDRIVABLE", "REASON"), [_line(one) for one in dead_letters])
    else:
        print("no dead letters" + (f" of label {arguments.label!r}" if arguments.label else ""))
    if waiting.total:
        note(f"inference-engine: {waiting.total} messages are in the dead-letter queue; `dlq collect` takes them off")
    return 0


def _line(row: DeadLetter) -> tuple[Any, ...]:
    since = datetime.fromtimestamp(row.dead_at, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    reason = row.reason
    if len(reason) > REASON_MAX_CHARACTERS:
        reason = reason[: REASON_MAX_CHARACTERS - 1] + "…"
    return row.message_id, row.label, f"{since} UTC", "yes" if row.redrivable else "no", reason


def _redrive(arguments: argparse.Namespace) -> int:
    _check_choice(arguments)

    async def redrive(deployment: Deployment) -> list[RedriveOutcome]:

        chosen = await _chosen(deployment, arguments)
        return await deployment.redriver().redrive(chosen, ignore_deadline=arguments.ignore_deadline)

    return _show(with_aws(arguments, redrive), arguments)


def _purge(arguments: argparse.Namespace) -> int:
    _check_choice(arguments)
    if not (arguments.yes or sys.stdin.isatty()):
        raise UsageError("cannot ask for confirmation without a terminal; give --yes")

    async def purge(deployment: Deployment) -> list[RedriveOutcome]:

        chosen = await _chosen(deployment, arguments)
        if not chosen or not (arguments.yes or _confirmed(len(chosen))):
            return []
        return await deployment.redriver().purge(chosen)

    return _show(with_aws(arguments, purge), arguments)


def _check_choice(arguments: argparse.Namespace) -> None:
    if bool(arguments.message_ids) == arguments.all:
        raise UsageError("give either message ids or --all")
    if arguments.label and not arguments.all:
        raise UsageError("--label needs --all")


async def _chosen(deployment: Deployment, arguments: argparse.Namespace) -> list[str]:
    if not arguments.all:
        return list(arguments.message_ids)
    return [one.message_id for one in await deployment.dead_letters.store.all(arguments.label)]


def _confirmed(count: int) -> bool:
    answer = input(f"Delete {count} dead letter{'s' * (count != 1)} for good? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _show(outcomes: list[RedriveOutcome], arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json([_fields(outcome) for outcome in outcomes])
    elif outcomes:
        rows = [(one.message_id, one.label, one.detail or one.verdict.value) for one in outcomes]
        print_table(("MESSAGE ID", "LABEL", "OUTCOME"), rows)
    else:
        note("inference-engine: nothing done")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _fields(outcome: RedriveOutcome) -> dict[str, Any]:
    verdict = outcome.verdict
    fields = {"message_id": outcome.message_id, "label": outcome.label, "outcome": verdict.name.lower()}
    return fields | {"detail": outcome.detail or verdict.value}


def _collect(arguments: argparse.Namespace) -> int:
    buried: Buried = with_aws(arguments, lambda deployment: deployment.dead_letters.collect())
    if arguments.json:
        print_json(
            {
                "letters": [one.model_dump() for one in buried.dead_letters],
                "failed": [message.sent_id for message in buried.failed],
            }
        )
    else:
        print(f"{len(buried.dead_letters)} dead letters collected")
    if buried.failed:
        note(f"inference-engine: {len(buried.failed)} messages could not be collected and stay in the queue")
    return 1 if buried.failed else 0
