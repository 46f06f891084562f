"""Two emulators that together are faithful enough for the Terraform provider: which service goes where, and why.

ministack has queues, tables, functions that really run, and most of the rest. moto has

* Application Auto Scaling, which ministack does not have;
* ECS: ministack drops a service's `availabilityZoneRebalancing`; Application Auto Scaling asks moto's own ECS;
* EC2: ministack drops what a VPC endpoint is created with (policy, security groups, private DNS) and tags of rules;
  ECS asks moto's own EC2 for subnets;
* Elastic Load Balancing, which looks for its subnets, security groups and certificates there;
* CloudWatch: ministack keeps hardly anything of an alarm (dimensions, period, statistic, actions).

Functions inside ministack are sent to moto for the same services: their metrics and Terraform's alarms meet there.

Both answer a call that an SDK repeats as they did at first (`AnswersOnce`): Terraform can't make what is there already.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config

from inference_engine.local.emulator import TEST_KEY, Emulator, http_ok
from inference_engine.local.processes import ChildProcess, free_port

from .project import PROJECT

#: Services of moto, as the AWS SDKs name them in `AWS_ENDPOINT_URL_<SERVICE>`, with boto3's name.
MOTO_SERVICES = {
    "ACM": "acm",
    "APPLICATION_AUTO_SCALING": "application-autoscaling",
    "CLOUDWATCH": "cloudwatch",
    "EC2": "ec2",
    "ECS": "ecs",
    "ELASTIC_LOAD_BALANCING_V2": "elbv2",
}
#: The account that ministack plays; moto is told to play the same, because ARNs go from one to the other.
ACCOUNT = "000000000000"
#: moto imports a good part of itself at start.
MOTO_READY_TIMEOUT_SECONDS = 60.0


class MotoServer:
    """A patched moto on 127.0.0.1, in a process of its own; state is lost when it stops."""

    def __init__(self, log_file: Path) -> None:
        self.port = free_port()
        self._process = ChildProcess(
            [sys.executable, "-m", "tests.support.moto_server", "--port", str(self.port)],
            log_file=log_file,
            environment={
                **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
                "PYTHONPATH": str(PROJECT),
                "MOTO_ACCOUNT_ID": ACCOUNT,
            },
        )

    @property
    def endpoint_url(self) -> str:
        """What AWS clients take as their endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises LocalStackError with the end of its log."""
        self._process.start()
        self._process.wait_until_ready(
            lambda: http_ok(f"{self.endpoint_url}/moto-api/data.json"), timeout_seconds=MOTO_READY_TIMEOUT_SECONDS
        )

    def stop(self) -> None:
        """Stop it; no error when it does not run."""
        self._process.stop()


class _Ministack(Emulator):
    """The local stack's emulator, whose functions find moto's services at moto, and whose repeated calls are answered once."""

    scripts = (Path(__file__).with_name("ministack_server.py"), *Emulator.scripts)

    def __init__(self, moto: MotoServer, log_file: Path) -> None:
        super().__init__(log_file=log_file)
        self._moto = moto

    def environment(self) -> dict[str, str]:
        moto = {f"AWS_ENDPOINT_URL_{service}": self._moto.endpoint_url for service in MOTO_SERVICES}
        return super().environment() | moto


class AwsEmulators:
    """Both emulators, used as one: `with AwsEmulators(folder) as emulators: …`; logs go to `folder`."""

    def __init__(self, log_folder: Path) -> None:
        self._moto = MotoServer(log_folder / "moto.log")
        self._ministack = _Ministack(self._moto, log_folder / "ministack.log")
        self._session = boto3.Session(TEST_KEY, TEST_KEY, region_name=self.region)

    @property
    def region(self) -> str:
        """The region that everything is made in."""
        return self._ministack.region

    def environment(self) -> dict[str, str]:
        """The variables with which AWS SDKs, the AWS CLI and Terraform talk to the two."""
        return self._ministack.environment()

    def client(self, service: str) -> Any:
        """A boto3 client of `service`, whatever this process's own environment says."""
        emulator = self._moto if service in MOTO_SERVICES.values() else self._ministack
        return self._session.client(
            service, endpoint_url=emulator.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )

    def __enter__(self) -> AwsEmulators:
        self._moto.start()
        try:
            self._ministack.start()
        except BaseException:
            self._moto.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ministack.stop()
        self._moto.stop()
