"""A deployed environment's settings, from the parameters that Terraform wrote, and its secret, which Terraform never sees."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import NotProvisionedError, SettingsError
from ..settings import Settings
from .transport import ThreadTransport, Transport, pages


def parameter_path(environment: str) -> str:
    """The SSM path of an environment's parameters."""
    return f"/inference-engine/{environment}"


def check_environment(environment: str) -> str:
    """Return `environment` if it is a possible name. Raises SettingsError."""
    if not environment or "/" in environment:
        raise SettingsError(
            f"{environment!r} is not the name of an environment: give the value of Terraform's `environment`"
        )
    return environment


def webhook_secret_name(environment: str) -> str:
    """The name of the parameter that holds an environment's webhook secret, which Terraform never sees. Raises SettingsError."""
    return f"{parameter_path(check_environment(environment))}/webhooks/secret"


async def read_secret(transport: Transport, name: str) -> str:
    """Read the encrypted parameter that holds the webhook secret. Raises NotProvisionedError where there is none."""
    try:
        answer = await transport.call("ssm", "get_parameter", Name=name, WithDecryption=True)
    except NotProvisionedError as error:
        raise NotProvisionedError(
            f"no parameter {name} in SSM; create it with `inference-engine webhooks secret --environment NAME`"
        ) from error
    return str(answer["Parameter"]["Value"])


async def write_secret(transport: Transport, name: str, value: str, *, replace: bool) -> None:
    """Write the webhook secret. Without `replace`, raises TransportError where there is one already."""
    await transport.call("ssm", "put_parameter", Name=name, Value=value, Type="SecureString", Overwrite=replace)


async def read_parameters(transport: Transport, environment: str) -> dict[str, str]:
    """All parameters of an environment, keyed by their names below its path: `settings/prefix`, `ecs_cluster`, …

    Raises NotProvisionedError where there are none.
    """
    path = parameter_path(environment)
    found: dict[str, str] = {}
    async for answer in pages(
        transport,
        "ssm",
        "get_parameters_by_path",
        token="NextToken",  # noqa: S106 - a field's name
        start="NextToken",
        Path=path,
        Recursive=True,
    ):
        found |= {one["Name"].removeprefix(f"{path}/"): one["Value"] for one in answer["Parameters"]}
    if not found:
        raise NotProvisionedError(
            f"no parameters under {path} in SSM: `terraform apply` writes them for environment={environment!r}; "
            "check the name, AWS_REGION and the credentials"
        )
    return found


def deployed_settings(environment: str, *, region: str | None = None, **changes: Any) -> Settings:
    """The Settings of an environment that `terraform apply` created; `changes` are the caller's own settings.

    `changes` override deployed values, which override the process's environment variables. Blocks for a request to SSM in
    `region`, or in the region that the AWS SDK finds. Raises NotProvisionedError, TransportError, SettingsError.
    """
    check_environment(environment)

    async def read() -> dict[str, str]:
        transport = ThreadTransport(region=region, threads=1)
        try:
            return await read_parameters(transport, environment)
        finally:
            await transport.close()

    # The caller may be inside an event loop, which cannot run another.
    with ThreadPoolExecutor(1) as pool:
        parameters = pool.submit(asyncio.run, read()).result()
    return Settings(**settings_in(parameters) | changes)


def settings_in(parameters: Mapping[str, str]) -> dict[str, str]:
    """The settings among an environment's parameters, without names that this release does not know."""
    found = {
        name.removeprefix("settings/"): value for name, value in parameters.items() if name.startswith("settings/")
    }
    known = {name: value for name, value in found.items() if name in Settings.model_fields}
    return known | ({"region": parameters["region"]} if "region" in parameters else {})
