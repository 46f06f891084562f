"""The command as a user runs it: every command a process of its own, a consumer with a function among them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference_engine.local.emulator import http_ok
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.settings import Settings
from tests.support.waiting import HANG_SECONDS

APP = """
import time

def compute(body, message_id, label):
    if body == "bad":
        raise RuntimeError("no good")
    time.sleep(body.get("seconds", 0))
    return {"label": label, "answer": body.get("number", 0) + 38, "text": "größer"}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The variables of a deployment that only this test uses."""
    given = settings.model_dump(exclude_none=True) | {"max_attempts": 1}
    return dict(os.environ) | {f"INFERENCE_ENGINE_{name.upper()}": str(value) for name, value in given.items()}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a command and waits for it."""

    def run_(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inference_engine.cli", *arguments]
        return subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
        )

    return run_


@pytest.fixture
def consumer(environment: dict[str, str], tmp_path: Path) -> Iterator[ChildProcess]:
    """A consumer of one function, ready, with JSON logs."""
    (tmp_path / "cli_app.py").write_text(APP)
    port = free_port()
    arguments = ["--function", "cli_app:compute", "--http-port", str(port), "--log-format", "json"]
    process = ChildProcess(
        [sys.executable, "-m", "inference_engine.cli", "consume", "--consumer-id", "one", *arguments],
        log_file=tmp_path / "consumer.log",
        environment=environment | {"PYTHONPATH": str(tmp_path)},
    )
    process.start()
    process.wait_until_ready(lambda: http_ok(f"http://127.0.0.1:{port}/readyz"), timeout_seconds=HANG_SECONDS)
    yield process
    process.stop()


def json_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("consumer")
def test_post_status_result(run: Run) -> None:
    assert json_of(run("post", "red", '{"number": 4}', "--wait")) == {"label": "red", "answer": 42, "text": "größer"}
    message_id = run("post", "red", "-", text='{"number": 5}').stdout.strip()
    response = json_of(run("result", message_id, "--wait", "--timeout", "30", "--json"))
    assert (response["status"], response["status_code"], response["result"]["answer"]) == ("SUCCESS", 200, 43)
    assert run("status", message_id).stdout == "SUCCESS\n"
    late = run("cancel", message_id)
    assert (late.returncode, late.stdout) == (1, "")
    assert "already SUCCESS" in late.stderr


@pytest.mark.usefixtures("consumer")
def test_consumers_and_labels_show_who_holds_what(run: Run) -> None:
    run("post", "red", "{}", "--wait")
    (one,) = json_of(run("consumers", "--json"))
    assert (one["consumer_id"], one["state"], list(one["loaded"])) == ("one", "alive", ["red"])
    assert run("consumers").stdout.splitlines()[1].split()[:2] == ["one", "alive"]
    (red,) = json_of(run("labels", "list", "--json"))
    assert [line.split()[0] for line in run("labels", "list").stdout.splitlines()] == ["LABEL", "red"]
    assert (red["label"], red["hosts"]) == ("red", ["one"])


def test_a_failed_job_is_told_and_every_log_line_of_it_names_it(run: Run, consumer: ChildProcess) -> None:
    done = run("post", "red", '"bad"', "--wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert "RuntimeError: no good" in done.stderr
    records = [json.loads(line) for line in consumer.log_file.read_text().splitlines()]
    (failed,) = [record for record in records if "no good" in record["message"]]
    assert failed["label"] == "red"
    assert failed["message_id"] in done.stderr


def test_without_a_consumer_a_job_waits_and_can_be_cancelled(run: Run) -> None:
    message_id = json_of(run("post", "red", "{}", "--json"))["message_id"]
    assert run("post", "red", "{}", "--dedup-key", "a").stdout == run("post", "red", "{}", "--dedup-key", "a").stdout
    assert run("status", message_id).stdout == "SUBMITTED\n"
    waiting = run("result", message_id)
    assert waiting.returncode == 1
    assert "is SUBMITTED; use --wait" in waiting.stderr
    too_soon = run("result", message_id, "--wait", "--timeout", "0.5")
    assert too_soon.returncode == 1
    assert "ResultTimeoutError" in too_soon.stderr
    assert run("cancel", message_id).stdout == "cancelled\n"
    assert json_of(run("status", message_id, "--json"))["status"] == "CANCELLED"


def test_labels_are_set_part_by_part(run: Run) -> None:
    assert run("labels", "set", "red", "--lanes", "3").stdout == "label=red lanes=3\n"
    assert json_of(run("labels", "set", "red", "--max-in-flight", "2", "--json"))["lanes"] == 3
    assert "red.fifo" in run("labels", "create", "red").stdout
    (red,) = json_of(run("labels", "list", "--json"))
    assert [line.split()[0] for line in run("labels", "list").stdout.splitlines()] == ["LABEL", "red"]
    assert (red["lanes"], red["max_in_flight"], red["hosts"]) == (3, 2, [])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "no-such-id"], "no job has the message id 'no-such-id'"),
        (["post", " ", "{}"], "is empty"),
        (["post", "--queue-name", "not-there.fifo", "{}"], "not-there.fifo"),
        (["--prefix"], "usage"),
    ],
)
def test_what_cannot_be_done_is_told(run: Run, arguments: list[str], told: str) -> None:
    done = run(*arguments)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_deployment_that_is_not_there_is_told(run: Run) -> None:
    done = run("status", "x", "--prefix", "nowhere", "--table", "no-such-table")
    assert done.returncode == 1
    assert "create it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_consumer_names_the_extra_of_its_backend(environment: dict[str, str]) -> None:
    for option, extra in (("--onnx", "onnx"), ("--triton", "triton")):
        script = (
            "import sys; sys.modules['numpy'] = None\n"
            f"from inference_engine import cli; sys.exit(cli.main(['consume', '{option}', '127.0.0.1:1']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert f"install it with: pip install 'inference-engine[{extra}]'" in done.stderr
