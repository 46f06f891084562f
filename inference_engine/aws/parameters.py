"""Settings of a deployed environment, from the parameters that Terraform wrote; and its secret, which it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import NotProvisionedError, SettingsError
from ..settings import Settings
from .session import ThreadTransport, Transport, pages


def parameter_path(environment: str) -> str:
    """Where an environment's parameters are in SSM."""
    return f"/inference-engine/{environment}"


def check_environment(environment: str) -> str:
    """`environment` itself, if it can be the name of one. Raises SettingsError."""
    if not environment or "/" in environment:
        raise SettingsError(f"environment {environment!r} is not the name of one: give what Terraform's variable says")
    return environment


def webhook_secret_name(environment: str) -> str:
    """The parameter that has the secret of an environment's webhooks, which Terraform never sees."""
    return f"{parameter_path(check_environment(environment))}/webhooks/secret"


async def read_secret(transport: Transport, name: str) -> str:
    """The value of the encrypted parameter with the secret of webhooks. Raises NotProvisionedError where there is none."""
    try:
        answer = await transport.call("ssm", "get_parameter", Name=name, WithDecryption=True)
    except NotProvisionedError as error:
        raise NotProvisionedError(
            f"no parameter {name} in SSM; make it with `inference-engine webhooks secret --environment NAME`"
        ) from error
    return str(answer["Parameter"]["Value"])


async def write_secret(transport: Transport, name: str, value: str, *, replace: bool) -> None:
    """Write it; unless it may `replace` one, raises TransportError where there is one already."""
    await transport.call("ssm", "put_parameter", Name=name, Value=value, Type="SecureString", Overwrite=replace)


async def read_parameters(transport: Transport, environment: str) -> dict[str, str]:
    """All parameters of an environment by their names below its path: `settings/prefix`, `ecs_cluster`, …

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
    """The Settings of an environment that `terraform apply` made; `changes` are settings of the caller's own.

    What was deployed goes before the process's environment variables. Blocks for a request to SSM, whose region is `region` or
    what the AWS SDK finds. Raises NotProvisionedError, TransportError, SettingsError.
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
    """The settings among an environment's parameters; names that this release does not know are left out."""
    found = {
        name.removeprefix("settings/"): value for name, value in parameters.items() if name.startswith("settings/")
    }
    known = {name: value for name, value in found.items() if name in Settings.model_fields}
    return known | ({"region": parameters["region"]} if "region" in parameters else {})
