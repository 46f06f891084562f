"""labels and consumers: what the registry knows, and the settings of labels."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING, Any

from .common import Commands, UsageError, add_json, add_settings, command, count, print_json, print_table, with_aws

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..fleet.view import ConsumerView, Fleet, LabelSettings


def add(commands: Commands) -> None:
    """Declare the commands."""
    _add_labels(commands)
    parser = command(
        commands,
        "consumers",
        "print consumers and the labels that they hold",
        "Print all consumers, the labels that each has loaded or is loading, and its jobs in flight.",
        "  inference-engine consumers\n  inference-engine consumers --json | jq '.[].loaded'",
    )
    add_json(parser)
    add_settings(parser)
    parser.set_defaults(run=_consumers)


def _add_labels(commands: Commands) -> None:
    parser = command(
        commands,
        "labels",
        "list labels, change their settings, create their queues",
        "A label names a model. It needs no settings: the first post creates its queue, and any consumer may load it.\n"
        "Give it lanes to let several consumers work on it at once.",
        "  inference-engine labels list\n"
        "  inference-engine labels set resnet50 --lanes 3 --max-in-flight 16\n"
        "  inference-engine labels create resnet50",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    lister = command(
        actions,
        "list",
        "print labels with settings or holders",
        "Print the labels that have settings or that a consumer holds.",
    )
    setter = command(
        actions,
        "set",
        "set the lanes and limits of a label",
        "Change the settings that are given and keep the others. Producers see new lanes within a minute.",
        "  inference-engine labels set resnet50 --lanes 3\n  inference-engine labels set resnet50 --max-in-flight 16",
    )
    setter.add_argument("label", metavar="LABEL")
    setter.add_argument("--lanes", type=count, metavar="N", help="consumers that may work on the label at once")
    setter.add_argument(
        "--max-in-flight", type=count, metavar="N", help="jobs of it that one consumer computes at once"
    )
    creator = command(
        actions,
        "create",
        "create the queue of a label",
        "Create the queue of a label, for deployments with auto_create_queues off. It is no error if the queue exists.",
        "  inference-engine labels create resnet50",
    )
    creator.add_argument("label", metavar="LABEL")
    for action, run in ((lister, _list), (setter, _set), (creator, _create)):
        add_json(action)
        add_settings(action)
        action.set_defaults(run=run)


def _list(arguments: argparse.Namespace) -> int:
    async def read(deployment: Deployment) -> tuple[list[LabelSettings], Fleet]:
        labels, fleet = await asyncio.gather(
            deployment.registry.labels(), deployment.registry.whole_fleet(deployment.settings.cells)
        )
        return labels, fleet

    labels, fleet = with_aws(arguments, read)
    rows = label_rows(labels, fleet, time.time())
    if arguments.json:
        print_json(rows)
    else:
        print_table(("LABEL", "LANES", "MAX IN FLIGHT", "HOLDERS"), [_line(row) for row in rows])
    return 0


def label_rows(labels: list[LabelSettings], fleet: Fleet, now: float) -> list[dict[str, Any]]:
    """Labels that have settings or that a live consumer holds, by name."""
    from ..fleet.view import LabelSettings

    known = {settings.label: settings for settings in labels}
    held = {label for view in fleet.live(now) for label in (*view.loaded, *view.loading)}
    return [
        known.get(label, LabelSettings(label=label)).model_dump()
        | {"hosts": sorted(view.consumer_id for view in fleet.holders(label, now))}
        for label in sorted(known.keys() | held)
    ]


def _line(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["label"], row["lanes"], row["max_in_flight"], ", ".join(row["hosts"]) or None


def _set(arguments: argparse.Namespace) -> int:
    from ..labels import check_label

    given = {name: getattr(arguments, name) for name in ("lanes", "max_in_flight")}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise UsageError("nothing to set: give --lanes or --max-in-flight")
    label = check_label(arguments.label)

    async def write(deployment: Deployment) -> LabelSettings:
        settings = changed(await deployment.registry.label(label), changes)
        await deployment.registry.set_label(settings)
        return settings

    settings = with_aws(arguments, write)
    if arguments.json:
        print_json(settings.model_dump())
    else:
        print(" ".join(f"{name}={value}" for name, value in settings.model_dump(exclude_none=True).items()))
    return 0


def changed(settings: LabelSettings, changes: dict[str, Any]) -> LabelSettings:
    """The settings with `changes` made. Raises SettingsError for an invalid value."""
    from pydantic import ValidationError

    from ..errors import SettingsError

    try:
        return type(settings)(**settings.model_dump() | changes)
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]} = {item['input']!r}: {item['msg']}" for item in error.errors())
        raise SettingsError(f"invalid settings of label {settings.label!r}: {problems}") from error


def _create(arguments: argparse.Namespace) -> int:
    url = with_aws(arguments, lambda deployment: deployment.queues.of_label(arguments.label, create=True))
    if arguments.json:
        print_json({"label": arguments.label, "queue_url": url})
    else:
        print(url)
    return 0


def _consumers(arguments: argparse.Namespace) -> int:
    fleet = with_aws(arguments, lambda deployment: deployment.registry.whole_fleet(deployment.settings.cells))
    now = time.time()
    views = sorted(fleet.consumers, key=lambda view: view.consumer_id)
    if arguments.json:
        print_json([view.model_dump() | {"state": view.state(now)} for view in views])
    else:
        head = ("CONSUMER", "STATE", "FREE SLOTS", "IN FLIGHT", "LOADED", "LOADING")
        print_table(head, [_consumer_line(view, now) for view in views])
    return 0


def _consumer_line(view: ConsumerView, now: float) -> tuple[Any, ...]:
    loaded, loading = ", ".join(sorted(view.loaded)) or None, ", ".join(view.loading) or None
    return view.consumer_id, view.state(now), view.free_slots, view.in_flight, loaded, loading
