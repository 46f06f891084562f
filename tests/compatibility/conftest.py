"""Every earlier release beside this tree, and deployments that the earlier one has made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest

from .releases import PROJECT, WHEELS, Release, Side, new_settings, running, unpacked

THIS = "tree"
#: `one` and `other` in the tests: each earlier release with this tree, in both orders.
PAIRS = [pair for version in WHEELS for pair in ((version, THIS), (THIS, version))]


@pytest.fixture(scope="module")
def releases(aws_environment: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Release]]:
    """The processes of all releases, by version."""
    sources = {version: unpacked(version, tmp_path_factory.mktemp("wheel")) for version in WHEELS}
    with ExitStack() as stack:
        found = [stack.enter_context(running(name, source)) for name, source in {**sources, THIS: PROJECT}.items()]
        for release in found:
            release.wait_until_ready()
        yield {release.name: release for release in found}


@pytest.fixture(scope="module", params=PAIRS, ids=" and ".join)
def pair(request: pytest.FixtureRequest, releases: dict[str, Release]) -> tuple[Release, Release]:
    """The releases that are `one` and `other`."""
    one, other = request.param
    return releases[one], releases[other]


@contextlib.contextmanager
def deployed(pair: tuple[Release, Release]) -> Iterator[list[Side]]:
    """A new deployment as each of the two releases sees it; the earlier one has made it."""
    settings = new_settings()
    sides = [Side(release, settings) for release in pair]
    next(side for side in sides if side.release.name != THIS).provision()
    yield sides
    for side in sides:
        side.leave()


@pytest.fixture
def sides(pair: tuple[Release, Release]) -> Iterator[list[Side]]:
    with deployed(pair) as sides:
        yield sides


@pytest.fixture
def one(sides: list[Side]) -> Side:
    """One release on a deployment of this test alone, without consumers."""
    return sides[0]


@pytest.fixture
def other(sides: list[Side]) -> Side:
    """The other release on the same deployment."""
    return sides[1]


@pytest.fixture(scope="module")
def served(pair: tuple[Release, Release]) -> Iterator[tuple[Side, Side, str]]:
    """`one`, `other`, and the id of the only consumer, which is of `other`. Tests that share it have labels of their own."""
    with deployed(pair) as (one, other):
        yield one, other, other.consume(max_labels=20)


@pytest.fixture(scope="module")
def sqs(aws_environment: str) -> Iterator[Any]:
    client = boto3.client("sqs")
    yield client
    client.close()


@pytest.fixture(scope="module")
def s3(aws_environment: str) -> Iterator[Any]:
    client = boto3.client("s3")
    yield client
    client.close()
