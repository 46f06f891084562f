"""Terraform as it is: fixtures that need the terraform command, and the stack that is applied once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws_stack import AppliedStack, applied
from tests.support.lambdas import lambda_zips

__all__ = ["lambda_zips"]

HERE = Path(__file__).parent
#: Set to 1 where these tests must not be skipped.
REQUIRED = "TESTS_REQUIRE_TERRAFORM"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Within this folder: what needs the stack destroyed comes last."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(HERE)]
    ordered = sorted((items[place] for place in places), key=lambda item: "destroyed_stack" in _fixtures(item))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _fixtures(item: pytest.Item) -> tuple[str, ...]:
    return getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def terraform_command() -> str:
    """The terraform command; tests that need it are skipped where it is not installed."""
    if command := shutil.which("terraform"):
        return command
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"terraform is not installed, and {REQUIRED}=1 says that it must be")
    pytest.skip(f"terraform is not installed (with {REQUIRED}=1 this fails)")


@pytest.fixture(scope="session")
def applied_stack(
    terraform_command: str, lambda_zips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppliedStack]:
    """Both stacks, as `terraform apply` of the example makes them: a minute of waiting."""
    folder = tmp_path_factory.mktemp("terraform")
    with applied(folder, next(iter(lambda_zips.values())).parent) as stack:
        yield stack


@pytest.fixture(scope="session")
def destroyed_stack(applied_stack: AppliedStack) -> AppliedStack:
    """The same after `terraform destroy`; tests that ask for it come last.

    Queues that first posts made, and the webhooks' secret, are not Terraform's: whoever tears an environment down deletes
    them too.
    """
    applied_stack.delete_queues_of_posts()
    applied_stack.delete_webhook_secret()
    applied_stack.terraform.destroy()
    return applied_stack
