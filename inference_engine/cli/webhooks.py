"""webhooks: the secret that deliveries to callback URLs are signed with."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from .common import Commands, add_json, command, print_json

if TYPE_CHECKING:
    from ..aws.transport import Transport


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = command(
        commands,
        "webhooks",
        "manage the secret of webhooks",
        "Changes of a job's status are delivered to its callback URL, signed with the secret of the environment.",
        "  inference-engine webhooks secret --environment prod --show",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    secret = command(
        actions,
        "secret",
        "make, rotate or print the secret",
        "Make the secret of an environment's webhooks in SSM if there is none yet. It is printed only with --show.\n"
        "With --rotate a new one is made, and deliveries are signed with both until the next rotation, so receivers can\n"
        "switch one by one. The Lambda function uses it within five minutes.",
        "  inference-engine webhooks secret --environment prod\n"
        "  inference-engine webhooks secret --environment prod --rotate --show",
    )
    secret.add_argument("--environment", metavar="NAME", required=True, help="an environment that Terraform deployed")
    secret.add_argument("--region", metavar="REGION", help="AWS region (default: what the AWS SDK finds)")
    secret.add_argument("--rotate", action="store_true", help="make a new secret and keep the present one beside it")
    secret.add_argument("--show", action="store_true", help="print the secret, the current one first")
    add_json(secret)
    secret.set_defaults(run=_secret)


def _secret(arguments: argparse.Namespace) -> int:
    from ..aws.parameters import webhook_secret_name

    name = webhook_secret_name(arguments.environment)
    outcome, secrets = asyncio.run(_ensure(name, arguments.region, rotate=arguments.rotate))
    shown = secrets if arguments.show else []
    if arguments.json:
        print_json({"parameter": name, "outcome": outcome} | ({"secrets": shown} if shown else {}))
    else:
        print(f"{name}: {outcome}; deliveries are signed with {'it' if len(secrets) == 1 else 'it and the one before'}")
        for secret in shown:
            print(secret)
    return 0


async def _ensure(name: str, region: str | None, *, rotate: bool) -> tuple[str, list[str]]:
    """What was done to the parameter, and the secrets it has now."""
    from ..aws.parameters import write_secret
    from ..aws.transport import ThreadTransport
    from ..webhooks.rules import new_secret

    transport = ThreadTransport(region=region, threads=1)
    try:
        known = await _known(transport, name)
        if known and not rotate:
            return "is there already", known
        # One previous secret is enough: receivers had a whole rotation to drop older ones.
        secrets = [new_secret(), *known[:1]]
        await write_secret(transport, name, " ".join(secrets), replace=bool(known))
        return "rotated" if known else "made", secrets
    finally:
        await transport.close()


async def _known(transport: Transport, name: str) -> list[str]:
    from ..aws.parameters import read_secret
    from ..errors import NotProvisionedError

    try:
        return (await read_secret(transport, name)).split()
    except NotProvisionedError:
        return []
