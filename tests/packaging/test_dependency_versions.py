"""Producers with the lowest and with the newest packages that a plain installation may have: other versions of boto3 than
consumers have, for whom aioboto3 chooses one."""

from __future__ import annotations

import pytest

from tests.support.installations import Installation, Wheel, install
from tests.support.project import PROJECT

pytestmark = pytest.mark.acceptance

#: What these tests import besides the library, none of which asks for boto3.
TOOLS = ("aiohttp", "hypothesis", "numpy", "pytest<9.2", "pytest-asyncio", "pytest-xdist")
TESTS = ("tests/producer", "tests/jobs", "tests/aws/test_transport.py")
VERSIONS = """
from importlib.metadata import version
print(*(version(name) for name in ("boto3", "botocore", "pydantic", "pydantic-settings")))
"""


@pytest.fixture(scope="module", params=["lowest", "newest"])
def installation(
    request: pytest.FixtureRequest, wheel: Wheel, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """A plain installation beside the tools of tests."""
    folder = tmp_path_factory.mktemp("installed") / request.param
    return install(wheel, "", folder, lowest=request.param == "lowest", tools=TOOLS)


def test_the_lowest_versions_are_those_that_the_project_names(wheel: Wheel) -> None:
    assert wheel.lowest() == {"boto3==1.34.101", "botocore==1.34.101", "pydantic==2.7", "pydantic-settings==2.7"}


def test_producers_work(installation: Installation, aws_environment: str) -> None:
    print(*installation.script(VERSIONS))
    report = installation.tests("-rs", *(PROJECT / name for name in TESTS))
    print(report)
    assert " passed" in report
