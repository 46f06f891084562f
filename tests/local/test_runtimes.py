"""The emulator and Triton as processes: they start, answer, stop, and leave nothing behind, whoever dies first."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from inference_engine.local import LocalStackError, environments
from inference_engine.local.emulator import Emulator, http_ok
from inference_engine.local.environments import EnvironmentSpec
from inference_engine.local.processes import ChildProcess, free_ports
from inference_engine.local.triton import SHARED_MEMORY_PREFIX, TritonServer, available, remove_stale_shared_memory
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from tests.support.waiting import HANG_SECONDS

pytestmark = pytest.mark.integration

needs_triton = pytest.mark.skipif(not available(), reason="Triton's wheel does not run on this machine")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by their file descriptors")


def regions(prefix: str) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def after_the_end_of(*pids: int) -> Callable[[], None]:
    """A function that waits until the processes, which run now, have ended."""
    handles = [os.pidfd_open(pid) for pid in pids]

    def wait() -> None:
        for handle in handles:
            ended, _, _ = select.select([handle], [], [], HANG_SECONDS)
            os.close(handle)
            assert ended, "a process outlives its owner"

    return wait


def call(server: TritonServer, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(f"http://{server.http_url}/v2/{path}", data=json.dumps(body or {}).encode())
    with urllib.request.urlopen(request, timeout=HANG_SECONDS) as response:
        return json.loads(response.read() or b"null")


def state_of(server: TritonServer, label: str) -> tuple[str | None, str | None]:
    (entry,) = [entry for entry in call(server, "repository/index") if entry["name"] == label]
    return entry.get("state"), entry.get("reason")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write_tiny_models(folder, ["cats", "dogs"])
    return folder


# --- the emulator --------------------------------------------------------------------------------------------------


def test_emulator_starts_answers_and_stops(tmp_path: Path) -> None:
    with Emulator(log_file=tmp_path / "log") as emulator:
        variables = emulator.environment()
        queues = boto3.client(
            "sqs",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        queue = queues.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        queues.send_message(QueueUrl=queue, MessageBody="hello", MessageGroupId="g", MessageDeduplicationId="d")
        (message,) = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        queues.close()
        assert message["Body"] == "hello"
    assert not http_ok(f"{emulator.endpoint_url}/_ministack/health")
    assert emulator.pid is None


def test_emulator_on_a_port_that_is_taken_says_so(tmp_path: Path) -> None:
    with Emulator(log_file=tmp_path / "one") as first:
        second = Emulator(first.port, log_file=tmp_path / "two")
        with pytest.raises(LocalStackError, match=f"port {first.port}"):
            second.start()


# --- Triton --------------------------------------------------------------------------------------------------------


@needs_triton
def test_triton_loads_answers_unloads_and_stops(repository: Path, tmp_path: Path) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 4], "data": x.ravel().tolist()}]}
    with TritonServer(repository, log_file=tmp_path / "log") as server:
        assert state_of(server, "cats") == (None, None)
        call(server, "repository/models/cats/load")
        (output,) = call(server, "models/cats/infer", body)["outputs"]
        assert output["name"] == "Y"
        assert np.array_equal(np.array(output["data"]).reshape(output["shape"]), tiny_expected("cats", x))
        assert regions(server.shared_memory_prefix)
        assert http_ok(server.metrics_url)
        call(server, "repository/models/cats/unload")
        while state_of(server, "cats") != ("UNAVAILABLE", "unloaded"):
            pass
        with pytest.raises(urllib.error.HTTPError) as refused:
            call(server, "models/cats/infer", body)
        refused.value.close()
    assert not server.running
    assert server.pid is None
    assert regions(server.shared_memory_prefix) == []


@needs_triton
def test_requests_at_once_each_get_their_own_answer(repository: Path, tmp_path: Path) -> None:
    """Sizes differ, so that a wrong split of a merged batch cannot go unseen."""
    random = np.random.default_rng(1)
    inputs = [random.integers(-5, 5, (1 + index % 3, 4)).astype(np.float32) for index in range(60)]
    with TritonServer(repository, log_file=tmp_path / "log") as server, ThreadPoolExecutor(12) as pool:
        call(server, "repository/models/dogs/load")

        def infer(x: np.ndarray) -> np.ndarray:
            tensor = {"name": "X", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
            (output,) = call(server, "models/dogs/infer", {"inputs": [tensor]})["outputs"]
            return np.array(output["data"]).reshape(output["shape"])

        for x, y in zip(inputs, pool.map(infer, inputs), strict=True):
            assert np.array_equal(y, tiny_expected("dogs", x))


@needs_triton
def test_a_model_that_does_not_fit_its_configuration_is_refused_at_load(repository: Path, tmp_path: Path) -> None:
    config = repository / "cats" / "config.pbtxt"
    config.write_text(config.read_text().replace('"X"', '"Z"'))
    with TritonServer(repository, log_file=tmp_path / "log") as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            call(server, "repository/models/cats/load")
        with refused.value as answer:
            assert "but ['Z'] are configured" in answer.read().decode()


@needs_triton
def test_triton_without_a_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="not a folder"):
        TritonServer(tmp_path / "nowhere").start()


@needs_triton
@linux_only
def test_nothing_is_left_when_the_server_is_killed(repository: Path, tmp_path: Path) -> None:
    server = TritonServer(repository, log_file=tmp_path / "log")
    server.start()
    call(server, "repository/models/cats/load")
    assert server.pid is not None
    wait = after_the_end_of(server.pid, parent_of(server.pid))
    os.kill(server.pid, signal.SIGKILL)
    wait()
    assert not server.running
    assert regions(server.shared_memory_prefix) == []
    server.stop()


@needs_triton
@linux_only
def test_nothing_is_left_when_the_application_is_killed(repository: Path, tmp_path: Path) -> None:
    script = (
        "import sys, signal, pathlib\n"
        "from inference_engine.local.triton import TritonServer\n"
        "server = TritonServer(pathlib.Path(sys.argv[1]), log_file=pathlib.Path(sys.argv[2]))\n"
        "server.start()\n"
        "print(server.pid, server.http_port, server.shared_memory_prefix, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(repository), str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdout is not None
        pid, port, prefix = application.stdout.readline().split()
        same = TritonServer(repository, http_port=int(port))  # only to talk to the other process's server
        call(same, "repository/models/cats/load")
        assert regions(prefix)
        wait = after_the_end_of(int(pid), parent_of(int(pid)))
        application.kill()
        wait()
    assert regions(prefix) == []


@needs_triton
def test_a_start_removes_what_dead_owners_left() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, ours = (
        Path("/dev/shm") / f"{SHARED_MEMORY_PREFIX}{pid}-{os.urandom(4).hex()}-x" for pid in (dead.pid, os.getpid())
    )
    stale.touch()
    ours.touch()
    try:
        remove_stale_shared_memory()
        assert not stale.exists()
        assert ours.exists()
    finally:
        ours.unlink()


# --- processes and environments ------------------------------------------------------------------------------------


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="no-such-program"):
        ChildProcess([str(tmp_path / "no-such-program")], log_file=tmp_path / "log").start()


def test_a_program_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    process = ChildProcess([sys.executable, "-c", "raise SystemExit('out of luck')"], log_file=tmp_path / "log")
    process.start()
    with pytest.raises(LocalStackError, match=r"ended while starting(.|\n)*out of luck"):
        process.wait_until_ready(lambda: False, timeout_seconds=HANG_SECONDS)
    assert not process.running


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\nwhile True:\n    signal.pause()\n"
    )
    process = ChildProcess([sys.executable, "-c", code, str(ready)], log_file=tmp_path / "log")
    process.start()
    process.wait_until_ready(ready.exists, timeout_seconds=HANG_SECONDS)
    pid = process.pid
    process.stop(grace_seconds=0.1)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_two_processes_build_an_environment_once(tmp_path: Path) -> None:
    """The first of them finds what an interrupted build left."""
    script = (
        "from inference_engine.local.environments import EnvironmentSpec, ensure\n"
        "print(ensure(EnvironmentSpec('empty'), progress=lambda message: print('>', message)))\n"
    )
    variables = os.environ | {"INFERENCE_ENGINE_CACHE": str(tmp_path)}
    probe = "from inference_engine.local.environments import *; print(EnvironmentSpec('empty').folder)"
    folder = Path(subprocess.check_output([sys.executable, "-c", probe], env=variables, text=True).strip())
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half a file")
    builders = [
        subprocess.Popen([sys.executable, "-c", script], env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [builder.communicate(timeout=HANG_SECONDS)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert [text.splitlines()[-1] for text in said] == [str(folder)] * 2
    assert sorted(text.count("creating") for text in said) == [0, 1]
    assert subprocess.run([folder / "bin" / "python", "-c", ""], check=False).returncode == 0


def test_a_failed_installation_shows_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", str(tmp_path))
    wheel = tmp_path / "absent-1.0-py3-none-any.whl"
    spec = EnvironmentSpec("broken", bare_requirements=(str(wheel),))
    with pytest.raises(LocalStackError, match=r"installing(.|\n)*absent(.|\n)*run again"):
        environments.ensure(spec)
    assert not spec.ready
