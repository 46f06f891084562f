"""Fixtures that all tests share: AWS, and a deployment of one's own for each test."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from inference_engine.deployment import Deployment
from inference_engine.local.emulator import Emulator
from inference_engine.settings import Settings
from tests.support.deployments import provisioned
from tests.support.lambdas import lambda_zips

__all__ = ["lambda_zips"]

DEFAULTS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}

# Started in the background by a script, this process ignores ctrl-C, and so would the processes that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before pytest-xdist's own, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers (`-n 2`), tests of one file stay together, and all that share the applied stack."""
    for item in items:
        shared = "infra" in item.path.parts
        item.add_marker(pytest.mark.xdist_group("infra" if shared else str(item.path)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse what workers would leave out or separate without a word: they know tests, and groups, by the tests' ids alone."""
    ids = Counter(item.nodeid for item in session.items)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise pytest.UsageError(f"of tests with one id only one is run: {', '.join(twice)}")
    if session.config.getoption("loadgroup", False) and not all("@" in name for name in ids):
        raise pytest.UsageError("tests of one file would not stay together: their ids do not have their groups")


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[str]:
    """The endpoint of an AWS emulator: the one of AWS_ENDPOINT_URL, or one that lives as long as the tests."""
    with pytest.MonkeyPatch.context() as patch:
        if url := os.environ.get("AWS_ENDPOINT_URL"):
            for name, value in DEFAULTS.items():
                if name not in os.environ:
                    patch.setenv(name, value)
            yield url
            return
        with Emulator() as emulator:
            for name, value in emulator.environment().items():
                patch.setenv(name, value)
            yield emulator.endpoint_url


@pytest.fixture
def settings(aws_environment: str) -> Settings:
    """Settings of a deployment that only this test uses, and that is there already."""
    return provisioned()


@pytest.fixture
async def deployment(settings: Settings) -> AsyncIterator[Deployment]:
    """The deployment as a consumer sees it."""
    deployment = Deployment.for_consumer(settings)
    yield deployment
    await deployment.close()
