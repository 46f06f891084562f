"""What all tests share: which kind each is, AWS, and a deployment of one's own for each test."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator

import hypothesis
import pytest
from botocore import loaders

from inference_engine.deployment import Deployment
from inference_engine.local.emulator import Emulator
from inference_engine.settings import Settings
from tests.support import kinds
from tests.support.deployments import connected, provisioned
from tests.support.installations import wheel
from tests.support.lambdas import lambda_zips

__all__ = ["lambda_zips", "wheel"]

DEFAULTS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


# How fast examples are made up says how busy the machine is.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")

# Started in the background by a script, this process ignores ctrl-C, and so would the processes that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before the choice by `-m`, and before pytest-xdist's own, which read the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its kind, and a group: with several workers, tests of one file, and all of one stack, stay together."""
    for item in items:
        item.add_marker(kinds.kind_of(item))
        stack = "applied_stack" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("the applied stack" if stack else str(item.path)))
    items[:] = kinds.longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is called a unit test is one."""
    with kinds.without_processes() if item.get_closest_marker("unit") else contextlib.nullcontext():
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse what workers would leave out or separate without a word: they know tests, and groups, by the tests' ids alone."""
    ids = Counter(item.nodeid for item in session.items)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise pytest.UsageError(f"of tests with one id only one is run: {', '.join(twice)}")
    if session.config.getoption("loadgroup", False) and not all("@" in name for name in ids):
        raise pytest.UsageError("tests of one file would not stay together: their ids do not have their groups")


@pytest.fixture(scope="session", autouse=True)
def _read_once() -> Iterator[None]:
    """What the SDKs know of AWS they read from large files, for each session anew; a run makes a thousand sessions."""
    read = functools.cache(loaders.JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders.JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


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
    deployment = connected(settings)
    yield deployment
    await deployment.close()
