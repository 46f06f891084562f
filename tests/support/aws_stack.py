"""The example of both stacks, applied to emulators by the real terraform command and AWS provider."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_engine.settings import Settings

from . import aws_inventory
from .aws_emulators import AwsEmulators
from .lambdas import ARCHITECTURE, RUNTIME
from .project import PROJECT
from .terraform import Terraform, copy_project

#: The name of the environment that is applied.
ENVIRONMENT = "test"
#: The gateway's callers: the example's VPC.
CALLERS = ["10.20.0.0/16"]
#: Versions of the AWS provider before 6.8 refuse to make queues for larger messages.
OLD_PROVIDERS_MESSAGE_MAX_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class AppliedStack:
    """What was applied.

    `variables` are the environment variables with which AWS SDKs find it, `outputs` those of the inference_pipeline
    stack, `settings` what a client reads from SSM. `message_max_bytes` is set where the provider allows no more, `before`
    what the account held before.
    """

    emulators: AwsEmulators
    terraform: Terraform
    variables: dict[str, str]
    environment: str
    outputs: dict[str, Any]
    settings: Settings
    message_max_bytes: int | None
    before: dict[str, set[str]]

    @property
    def prefix(self) -> str:
        """What all names begin with."""
        return self.settings.prefix

    def leftovers(self) -> dict[str, set[str]]:
        """What there is now and was not before the apply, by kind."""
        return aws_inventory.difference(self.before, aws_inventory.inventory(self.emulators))

    def delete_queues_of_posts(self) -> list[str]:
        """Delete the queues that first posts made, which Terraform does not know; their URLs."""
        queues = self.outputs["queues"]
        declared = {queues["dead_letters"]["url"]}
        declared |= {queue["url"] for kind in ("placement", "labels") for queue in queues[kind].values()}
        declared |= {self.outputs["webhooks"][kind]["url"] for kind in ("queue", "dead_queue")}
        client = self.emulators.client("sqs")
        urls = client.list_queues(QueueNamePrefix=f"{self.prefix}-").get("QueueUrls", [])
        made = [url for url in urls if url not in declared]
        for url in made:
            client.delete_queue(QueueUrl=url)
        return made

    def delete_webhook_secret(self) -> None:
        """Delete the parameter that `inference-engine webhooks secret` made, where it did."""
        client = self.emulators.client("ssm")
        client.delete_parameters(Names=[self.outputs["webhooks"]["secret_parameter"]])


@contextlib.contextmanager
def applied(folder: Path, zips: Path) -> Iterator[AppliedStack]:
    """Apply `terraform/examples/complete`, with the Lambdas' zips of the folder `zips`. Raises TerraformError.

    The emulators and all that was applied are gone after the block. Nothing is written outside `folder`.
    """
    root = copy_project(PROJECT, folder) / "examples" / "complete"
    with AwsEmulators(folder) as emulators:
        yield _apply(emulators, root, zips)


def _apply(emulators: AwsEmulators, root: Path, zips: Path) -> AppliedStack:
    certificate = emulators.client("acm").request_certificate(DomainName="gateway.example.com")["CertificateArn"]
    before = aws_inventory.inventory(emulators)
    variables = emulators.environment()
    inputs = {
        "environment": ENVIRONMENT,
        "lambda_zips_dir": str(zips),
        "lambda_runtime": RUNTIME,
        "lambda_architecture": ARCHITECTURE,
        "gateway": json.dumps(
            {
                "enabled": True,
                "certificate_arn": certificate,
                "allowed_cidr_blocks": CALLERS,
                "requests_per_minute": 3000,
            }
        ),
        "webhooks": json.dumps({"enabled": True, "allow_private": True}),
    }
    terraform = Terraform(root, variables | {f"TF_VAR_{name}": value for name, value in inputs.items()})
    terraform.use_emulator()
    terraform.init()
    message_max_bytes = None
    if terraform.provider_version() < (6, 8):
        message_max_bytes = OLD_PROVIDERS_MESSAGE_MAX_BYTES
        terraform = terraform.with_variables(TF_VAR_message_max_bytes=str(message_max_bytes))
    terraform.apply()
    outputs = terraform.outputs()["inference_pipeline"]
    settings = Settings(**outputs["settings"], region=emulators.region)
    return AppliedStack(emulators, terraform, variables, ENVIRONMENT, outputs, settings, message_max_bytes, before)
