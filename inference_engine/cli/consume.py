"""consume: run a consumer until SIGTERM or ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError, needs
from .common import (
    Commands,
    UsageError,
    add_logging,
    add_settings,
    add_single_queue,
    command,
    count,
    port,
    settings_of,
    size,
    start_logging,
)

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..models.store import ModelStore
    from ..settings import Settings

_DESCRIPTION = """\
Run a consumer: it loads labels that have jobs, within its capacity, computes the jobs and writes the results.

The first SIGTERM or ctrl-C drains (jobs in flight are finished or given back; no job is lost), the second aborts.
With --http-port it serves /healthz, /readyz, /busy, /metrics (Prometheus) and /stats (JSON)."""

_EXAMPLES = """\
  inference-engine consume --function my_app:compute --http-port 8080
  inference-engine consume --triton 127.0.0.1:8001 --max-labels 4
  inference-engine consume --triton 127.0.0.1:8001 --memory-budget 12GiB \\
      --model-store s3://my-models/triton --model-repository /models
  inference-engine consume --function my_app:compute --queue-name jobs.fifo --table jobs
  inference-engine consume --simulate 0.1,2 --max-labels 4

  where my_app.py holds
      def compute(body, message_id):
          return {"answer": body["number"] + 38}"""


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(commands, "consume", "run a consumer", _DESCRIPTION, _EXAMPLES)
    what = parser.add_argument_group("what computes the jobs (exactly one)").add_mutually_exclusive_group(required=True)
    what.add_argument("--function", metavar="MODULE:NAME", help="a function of (body, message_id), sync or async")
    what.add_argument("--triton", metavar="HOST:PORT", help="gRPC address of a Triton server in explicit model control")
    what.add_argument(
        "--onnx", metavar="FOLDER", type=Path, help="a Triton model repository, run by ONNX Runtime in this process"
    )
    what.add_argument(
        "--simulate",
        metavar="SECONDS[,LOAD_SECONDS]",
        type=_delays,
        help="compute nothing: a job takes SECONDS, a load LOAD_SECONDS (default: 0); to try routing without a model",
    )
    store = parser.add_argument_group("where a Triton server's models come from")
    store.add_argument("--model-store", metavar="PLACE", help="s3://bucket/prefix or a folder, with a folder per label")
    store.add_argument("--model-repository", metavar="FOLDER", type=Path, help="the repository that the server reads")
    store.add_argument(
        "--model-disk", metavar="SIZE", type=size, help="disk space that models may take there (default: no limit)"
    )
    room = parser.add_argument_group("capacity")
    room.add_argument("--max-labels", metavar="N", type=count, help="labels that may be loaded at once")
    room.add_argument("--memory-budget", metavar="SIZE", type=size, help="memory for models: 12GiB, 500MB")
    run = parser.add_argument_group("running")
    run.add_argument("--consumer-id", metavar="NAME", help="name in the registry (default: generated)")
    run.add_argument(
        "--http-port", metavar="PORT", type=port, help="serve health, readiness, busy, metrics and stats on this port"
    )
    run.add_argument(
        "--http-host", metavar="ADDRESS", default="127.0.0.1", help="address of that port (default: 127.0.0.1)"
    )
    add_logging(run)
    add_single_queue(parser)
    add_settings(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    settings = settings_of(arguments)
    from ..settings import Settings

    start_logging(arguments, Settings)
    with needs("consumer"):
        from ..consumer import Consumer
    options: dict[str, Any] = {
        "settings": settings,
        "queue_name": arguments.queue_name,
        "max_labels": arguments.max_labels,
        "memory_budget_bytes": arguments.memory_budget,
        "http_port": arguments.http_port,
        "http_host": arguments.http_host,
        "consumer_id": arguments.consumer_id,
    }
    if arguments.function:
        consumer = Consumer(compute_result=find_function(arguments.function), **options)
    else:
        consumer = Consumer(backend=_backend(arguments, settings), **options)
    consumer.run()
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Checks that argparse cannot express. Raises UsageError."""
    if bool(arguments.model_store) != bool(arguments.model_repository):
        raise UsageError("give both --model-store, where models come from, and --model-repository, where they are put")
    if arguments.model_store and not arguments.triton:
        raise UsageError("--model-store supplies models to a Triton server: give --triton HOST:PORT")
    if arguments.table and not arguments.queue_name:
        raise UsageError("--table needs --queue-name; for a queue per label set INFERENCE_ENGINE_JOBS_TABLE")


def find_function(name: str) -> Callable[..., Any]:
    """The function `module:name`, imported with the working directory on the path, as `python -m` does it.

    Raises SettingsError, naming what is missing.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise SettingsError(f"--function {name!r}: write MODULE:NAME, for example my_app:compute")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise SettingsError(
                f"--function {name!r}: {module_name} needs the module {error.name}: install it"
            ) from error
        raise SettingsError(
            f"--function {name!r}: no module {error.name!r} in {here} or among the installed packages"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"--function {name!r}: {module_name} has no {attribute!r}")
        found = getattr(found, part)
    if not callable(found):
        raise SettingsError(f"--function {name!r} is a {type(found).__name__}, not a function of (body, message_id)")
    function: Callable[..., Any] = found
    return function


def _delays(text: str) -> tuple[float, float]:
    """An argument with the seconds of a job and of a load: `0.1`, `0.1,2`."""
    try:
        seconds = [float(part) for part in text.split(",")]
    except ValueError:
        seconds = []
    if not 1 <= len(seconds) <= 2 or not all(0 <= one < float("inf") for one in seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is not SECONDS[,LOAD_SECONDS]; write 0.1 or 0.1,2")
    return seconds[0], seconds[1] if len(seconds) > 1 else 0.0


def _backend(arguments: argparse.Namespace, settings: Settings) -> Backend:
    if arguments.simulate:
        from ..backends.simulated import SimulatedBackend

        return SimulatedBackend(*arguments.simulate)
    if arguments.onnx:
        with needs("onnx"):
            from ..backends.onnx import OnnxBackend
        return OnnxBackend(arguments.onnx)
    with needs("triton"):
        from ..backends.triton import TritonBackend

        return TritonBackend(arguments.triton, store=_store(arguments, settings), repository=arguments.model_repository)


def _store(arguments: argparse.Namespace, settings: Settings) -> ModelStore | None:
    place, repository, limit = arguments.model_store, arguments.model_repository, arguments.model_disk
    if not place:
        return None
    from ..models.store import FolderStore, S3Store

    if not place.startswith("s3://"):
        return FolderStore(Path(place), repository, limit)
    from ..aws.objects import BucketObjects
    from ..aws.transport import ThreadTransport

    bucket = place.removeprefix("s3://").partition("/")[0]
    # Its own threads: a download of gigabytes must neither wait for nor delay the consumer's other calls to AWS.
    objects = BucketObjects(ThreadTransport(region=settings.region, threads=4), bucket)
    return S3Store(place, repository, limit, blobs=objects)
