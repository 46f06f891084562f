"""A deployed environment, found by its name: `python -m pytest e2e_test --environment prod`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from inference_engine import Producer, Settings, deployed_settings
from inference_engine.aws.parameters import read_parameters
from inference_engine.aws.transport import ThreadTransport

#: A cold environment must start a task, pull its images and load the model first.
WAIT_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """An environment: settings for the library, and what else Terraform tells of it, by the parameter's name."""

    settings: Settings
    parameters: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client in the environment's region."""
        return boto3.client(service, region_name=self.settings.region)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which environment is tested."""
    parser.addoption("--environment", help="the environment that Terraform deployed, for example: prod")


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """The environment under test; without one, these tests have nothing to say."""
    name = request.config.getoption("--environment")
    if not name:
        pytest.skip("no --environment given")
    settings = deployed_settings(name, timeout_seconds=WAIT_SECONDS)

    async def read() -> dict[str, str]:
        transport = ThreadTransport(region=settings.region, threads=1)
        try:
            return await read_parameters(transport, name)
        finally:
            await transport.close()

    return Deployment(settings, asyncio.run(read()))


@pytest.fixture(scope="session")
def producer(deployment: Deployment) -> Iterator[Producer]:
    """A producer of the environment."""
    with Producer(deployment.settings) as producer:
        yield producer
