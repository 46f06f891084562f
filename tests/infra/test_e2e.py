"""e2e_test against what Terraform applied: its queues, tables, buckets, parameters and Lambdas; consumer and Triton run here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_engine import Producer
from inference_engine.cli import main
from inference_engine.local.emulator import http_ok
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.local.triton import TritonServer
from inference_engine.local.triton_support import unavailable_reason
from tests.support.aws_stack import AppliedStack
from tests.support.project import PROJECT
from tests.support.waiting import HANG_SECONDS
from tests.support.webhooks import receiver

#: A fifth of the time that a cold environment on AWS gets.
E2E_SECONDS = 600.0


@pytest.fixture
def consumer(applied_stack: AppliedStack, tmp_path: Path) -> Iterator[None]:
    """A consumer with a Triton beside it, with the environment variables that the task definition gives it."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    repository = tmp_path / "models"
    repository.mkdir()
    models = applied_stack.outputs["buckets"]["models"]
    port = free_port()
    with TritonServer(repository) as triton:
        process = ChildProcess(
            [
                *(sys.executable, "-m", "inference_engine.cli", "consume"),
                *(
                    "--triton",
                    triton.grpc_url,
                    "--model-store",
                    f"s3://{models}",
                    "--model-repository",
                    str(repository),
                ),
                *("--max-labels", "4", "--http-port", str(port), "--log-format", "json"),
            ],
            log_file=tmp_path / "consumer.log",
            environment=environment(applied_stack) | of_the_task(applied_stack),
        )
        process.start()
        try:
            process.wait_until_ready(lambda: http_ok(f"http://127.0.0.1:{port}/readyz"), timeout_seconds=HANG_SECONDS)
            yield
        finally:
            process.stop(HANG_SECONDS)


def of_the_task(stack: AppliedStack) -> dict[str, str]:
    """Environment variables of the consumer's container."""
    variables = stack.outputs["containers"]["0"]["consumer"]["environment"]
    return {variable["name"]: variable["value"] for variable in variables}


def environment(stack: AppliedStack) -> dict[str, str]:
    """A process's environment with nothing of AWS in it but the emulators."""
    ours = ("AWS_", "INFERENCE_ENGINE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | stack.variables


@pytest.mark.usefixtures("consumer")
def test_jobs_metrics_and_dead_letters_of_the_applied_environment(applied_stack: AppliedStack) -> None:
    command = [sys.executable, "-m", "pytest", "e2e_test", "--environment", applied_stack.environment, "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=PROJECT,
        env=environment(applied_stack),
        timeout=E2E_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    applied_stack.delete_queues_of_posts()


def test_the_end_of_a_job_is_told_to_its_callback_url(
    applied_stack: AppliedStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the applied function: from the jobs table's stream to the queue, and from there to the receiver."""
    for name, value in {**applied_stack.variables, "INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE": "true"}.items():
        monkeypatch.setenv(name, value)
    assert main(["webhooks", "secret", "--environment", applied_stack.environment, "--show", "--json"]) == 0
    secret, *_ = json.loads(capsys.readouterr().out)["secrets"]
    with receiver() as hook, Producer(applied_stack.settings) as producer:
        message_id = producer.post_non_blocking({"n": 1}, "told", callback_url=hook.url)
        assert producer.cancel(message_id)
        event = hook.next(HANG_SECONDS).verified(secret)
    assert (event["type"], event["data"]["message_id"]) == ("job.cancelled", message_id)
    applied_stack.delete_queues_of_posts()


def test_the_functions_metrics_are_where_alarms_look_for_them(applied_stack: AppliedStack) -> None:
    """Every metric of an alarm or a scaling policy is one that the function publishes, dimensions included."""
    name = applied_stack.outputs["functions"]["backlog_metrics"]
    answer = applied_stack.emulators.client("lambda").invoke(FunctionName=name)
    assert "FunctionError" not in answer, answer["Payload"].read()
    cloudwatch = applied_stack.emulators.client("cloudwatch")
    published = {_metric(metric) for metric in cloudwatch.list_metrics(Namespace="InferenceEngine")["Metrics"]}
    watched = set()
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        inside = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        watched |= {_metric(metric) for metric in (*inside, *([alarm] if "MetricName" in alarm else []))}
    scaling = applied_stack.emulators.client("application-autoscaling")
    for policy in scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]:
        tracked = policy.get("TargetTrackingScalingPolicyConfiguration", {}).get("CustomizedMetricSpecification")
        watched |= {_metric(tracked)} if tracked else set()
    ours = {metric for metric in watched if metric[0] == "InferenceEngine"}
    # The other function's: it publishes by its log.
    deployment = (("Deployment", applied_stack.prefix),)
    assert ours - published == {("InferenceEngine", name, deployment) for name in ("DeadLetters", "DeadLettersFailed")}
    assert ("InferenceEngine", "BacklogSecondsPerDesiredTask") in {metric[:2] for metric in ours}


def _metric(metric: dict[str, object]) -> tuple[object, object, tuple[tuple[object, object], ...]]:
    dimensions = metric.get("Dimensions") or []
    assert isinstance(dimensions, list)
    pairs = tuple(sorted((one["Name"], one["Value"]) for one in dimensions))
    return metric["Namespace"], metric["MetricName"], pairs
