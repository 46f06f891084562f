"""A plain installation of the wheel, and one with each extra, start what they are for: with the newest packages that the wheel
allows in an environment for each, and with the lowest ones in one for all extras."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

from inference_engine import Settings, __version__
from inference_engine.local.emulator import http_ok
from inference_engine.local.processes import ChildProcess, free_port
from inference_engine.local.triton import TritonServer, available
from inference_engine.local.triton_support import unavailable_reason
from inference_engine.model_authoring.tiny_models import tiny_expected, write_tiny_models
from tests.support.installations import Installation, Wheel, install
from tests.support.waiting import HANG_SECONDS
from tests.support.workers import environment_of

pytestmark = pytest.mark.acceptance

#: For whoever works on the project; what they are for, `make` and tests/docs/test_build.py run.
OF_DEVELOPERS = {"bench", "dev", "docs"}
#: What each command says where it lacks its extra.
EXTRA_OF_COMMAND = {
    ("consume", "--simulate", "0"): "consumer",
    ("gateway",): "gateway",
    ("demo",): "local",
}
#: Runs a command as at a terminal, whose output it prints.
AT_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
#: Folders and files of the library of which a plain installation cannot import all.
PARTLY_OF_EXTRAS = {
    "backends", "cli", "consumer", "gateway", "local", "model_authoring", "models", "tensors",
}  # fmt: skip
#: Modules that a plain installation lacks.
BROUGHT_BY_EXTRAS = {"aiohttp", "fastapi", "numpy", "onnx", "prometheus_client", "rich", "starlette", "uvicorn"}
NUMBERS = [[1, 2, 3, 4]]
JOBS = 20

Installed = Callable[[str], Installation]


@pytest.fixture(scope="module", params=["newest", "lowest"])
def installed(request: pytest.FixtureRequest, wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Finds or makes the environment of an extra, or with '' of a plain installation."""
    lowest = request.param == "lowest"

    @functools.cache
    def made(extra: str) -> Installation:
        return install(wheel, extra, tmp_path_factory.mktemp("installed") / "environment", lowest=lowest)

    return lambda extra: made("local" if lowest and extra else extra)


@pytest.fixture
def variables(settings: Settings) -> dict[str, str]:
    """What tells commands of the deployment of this test."""
    return environment_of(settings)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Triton model repository with one model."""
    write_tiny_models(tmp_path, ["tiny"])
    return tmp_path


@contextlib.contextmanager
def ready(process: ChildProcess, url: str) -> Iterator[None]:
    """The process runs, and has said there that it is ready, for the length of the block."""
    process.start()
    try:
        process.wait_until_ready(lambda: http_ok(url), timeout_seconds=HANG_SECONDS)
        yield
    finally:
        process.stop(HANG_SECONDS)


@contextlib.contextmanager
def consuming(installation: Installation, variables: dict[str, str], *arguments: str) -> Iterator[None]:
    """`inference-engine consume …` in an environment."""
    port = free_port()
    command = ("consume", *arguments, "--max-labels", "1", "--http-port", str(port))
    with ready(installation.server(*command, variables=variables), f"http://127.0.0.1:{port}/readyz"):
        yield


# --- plain ---------------------------------------------------------------------------------------------------------------


def test_a_plain_installation_posts_and_asks(installed: Installed, variables: dict[str, str]) -> None:
    plain = installed("")
    run = functools.partial(plain.run, plain.command, variables=variables)
    assert run("--version").split() == [__version__]
    [message_id] = run("post", "red", '{"number": 4}').split()
    assert run("status", message_id).split() == ["SUBMITTED"]
    run("cancel", message_id)
    assert run("status", message_id).split() == ["CANCELLED"]


@pytest.mark.parametrize("command", EXTRA_OF_COMMAND, ids=" ".join)
def test_a_plain_installation_explains_every_command_and_names_the_extra_that_one_needs(
    installed: Installed, variables: dict[str, str], command: tuple[str, ...]
) -> None:
    plain = installed("")
    name = command[0]
    assert plain.run(plain.command, name, "--help").startswith(f"usage: inference-engine {name}")
    done = plain.ended(plain.command, *command, variables=variables)
    assert done.returncode == 1
    assert f"pip install 'inference-engine[{EXTRA_OF_COMMAND[command]}]'" in done.stderr


def test_what_a_plain_installation_cannot_import_is_of_an_extra(installed: Installed) -> None:
    script = """
import importlib, pkgutil, inference_engine
for module in pkgutil.walk_packages(inference_engine.__path__, "inference_engine.", onerror=lambda _: None):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name)
"""
    failed = [line.split() for line in installed("").script(script)]
    assert {name.split(".")[1] for name, _ in failed} == PARTLY_OF_EXTRAS
    assert {missing for _, missing in failed} - {"ministack"} <= BROUGHT_BY_EXTRAS
    assert [name for name, _ in failed if ".cli." in name] == ["inference_engine.cli.top_tables"]


# --- extras --------------------------------------------------------------------------------------------------------------


def test_every_extra_is_tried(wheel: Wheel) -> None:
    tried = {"async", "progress", "numpy", "consumer", "triton", "gateway", "top", "onnx", "local"}
    assert set(wheel.extras) == tried | OF_DEVELOPERS


def test_async_posts_on_the_applications_loop(installed: Installed, variables: dict[str, str]) -> None:
    script = """
import asyncio
from inference_engine import AsyncProducer
from inference_engine.deployment import Deployment

def connect(settings):
    deployment = Deployment.for_producer(settings)
    print(type(deployment.transport).__name__)
    return deployment

async def main():
    async with AsyncProducer(connect=connect) as producer:
        message_id = await producer.post_non_blocking({"number": 4}, "red")
        print(await producer.retrieve_result_status(message_id))

asyncio.run(main())
"""
    assert installed("async").script(script, variables=variables) == ["AioTransport", "SUBMITTED"]


def test_progress_draws_a_bar(installed: Installed, variables: dict[str, str]) -> None:
    script = """
import sys
from inference_engine import Producer

sys.stderr = sys.stdout
with Producer() as producer:
    ids = producer.post_many([1, 2], "red")
    for message_id in ids:
        producer.cancel(message_id)
    print([response.status.value for response in producer.as_completed(ids, progress=True)])
"""
    printed = "".join(installed("progress").script(script, variables=variables))
    assert "2/2" in printed
    assert "['CANCELLED', 'CANCELLED']" in printed


def test_numpy_arrays_are_bodies_and_come_back(installed: Installed) -> None:
    script = """
import numpy
from inference_engine.jobs import codec

array = codec.decode(codec.encode({"X": numpy.eye(2, dtype="f4")}))["X"]
print(type(array).__name__, array.dtype, array.tolist())
"""
    assert installed("numpy").script(script) == ["ndarray float32 [[1.0, 0.0], [0.0, 1.0]]"]


def test_consumer_computes_what_a_plain_installation_posts(
    installed: Installed, variables: dict[str, str], tmp_path: Path
) -> None:
    plain, consumer = installed(""), installed("consumer")
    (tmp_path / "my_app.py").write_text("def compute(body, message_id):\n    return body['number'] + 38\n")
    with consuming(consumer, variables | {"PYTHONPATH": str(tmp_path)}, "--function", "my_app:compute"):
        assert plain.run(plain.command, "post", "red", '{"number": 4}', "--wait", variables=variables).split() == ["42"]


@pytest.mark.skipif(not available(), reason=str(unavailable_reason()))
def test_triton_computes_on_a_real_server(installed: Installed, variables: dict[str, str], repository: Path) -> None:
    script = f"""
from inference_engine import Producer

with Producer() as producer:
    print(producer.post({{"X": {NUMBERS}}}, "tiny").result["Y"].tolist())
"""
    triton = installed("triton")
    with (
        TritonServer(repository, log_file=repository / "triton.log") as server,
        consuming(triton, variables, "--triton", f"127.0.0.1:{server.grpc_port}"),
    ):
        [printed] = triton.script(script, variables=variables)
    assert json.loads(printed) == tiny_expected("tiny", np.array(NUMBERS)).tolist()


def test_gateway_has_jobs_run(installed: Installed, variables: dict[str, str]) -> None:
    gateway, port = installed("gateway"), free_port()
    url = f"http://127.0.0.1:{port}"
    task = {"task_type": "infer", "label": "red", "parameters_json": "[4]"}
    headers = {"Content-Type": "application/json"}
    with (
        consuming(gateway, variables, "--simulate", "0"),
        ready(gateway.server("gateway", "--port", str(port), variables=variables), f"{url}/v2/health/ready"),
        urlopen(Request(f"{url}/run-task", json.dumps(task).encode(), headers), timeout=HANG_SECONDS) as answer,
    ):
        assert json.load(answer) == {"simulated": True, "label": "red", "body": [4]}
        assert http_ok(f"{url}/openapi.json")


def test_top_draws_tables_at_a_terminal(installed: Installed, variables: dict[str, str]) -> None:
    top, plain = installed("top"), installed("")
    plain.run(plain.command, "post", "the-label", "1", variables=variables)
    once = ("top", "--once")
    assert "the-label" in plain.run(plain.command, *once, variables=variables)
    assert "the-label" in "".join(top.script(AT_A_TERMINAL, top.command, *once, variables=variables))
    done = plain.ended(plain.python, "-c", AT_A_TERMINAL, plain.command, *once, variables=variables)
    assert done.returncode == 1
    assert "pip install 'inference-engine[top]'" in done.stdout


def test_onnx_computes_without_a_server(installed: Installed, repository: Path) -> None:
    script = f"""
import asyncio, pathlib, sys
import inference_engine.models.sentence_encoder
from inference_engine.backends import OnnxBackend, Work

async def main():
    backend = OnnxBackend(pathlib.Path(sys.argv[1]))
    await backend.start()
    await backend.load("tiny")
    print((await backend.infer(Work("message", "tiny", {{"X": {NUMBERS}}})))["Y"].tolist())
    await backend.close()

asyncio.run(main())
"""
    [printed] = installed("onnx").script(script, repository)
    assert json.loads(printed) == tiny_expected("tiny", np.array(NUMBERS)).tolist()


def test_local_runs_the_demo(installed: Installed) -> None:
    local = installed("local")
    outcome = json.loads(local.run(local.command, "demo", "--no-triton", "--json", "--jobs", str(JOBS)))
    assert outcome["ok"]
    assert outcome["succeeded"] == JOBS
