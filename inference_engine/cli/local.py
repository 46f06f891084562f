"""local and demo: the whole system on this machine."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import InferenceEngineError, needs
from .common import Commands, add_json, command, count, note, number, port, print_json

if TYPE_CHECKING:
    from ..local.stack import LocalStack

#: Where `local up --gateway` listens when no port is given: the gateway's own default.
GATEWAY_PORT = 8000
#: Stopping takes as long as consumers need to finish their jobs.
DOWN_SECONDS = 60.0


def add(commands: Commands) -> None:
    """Declare the commands."""
    _add_local(commands)
    _add_demo(commands)


def _add_local(commands: Commands) -> None:
    parser = command(
        commands,
        "local",
        "run the whole system on this machine",
        "An AWS emulator, queues and tables, consumers and Triton servers on this machine; no account, no docker.\n"
        "Everything listens on 127.0.0.1 only and ends when `local up` ends, for whatever reason.",
        "  inference-engine local up                        in one terminal\n"
        '  eval "$(inference-engine local env)"             in another one\n'
        "  inference-engine consumers",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    up = command(
        actions,
        "up",
        "start the stack and show what it does until ctrl-C",
        "Start the stack in the foreground and show what it does. Ctrl-C (or `local down`) ends it.\n"
        "The first start builds private environments for the emulator and Triton, which takes minutes; later ones take seconds.",
        "  inference-engine local up\n  inference-engine local up --consumers 3 --max-labels 1 --models ./my-repository\n"
        "  inference-engine local up --gateway",
    )
    _add_stack(up, number)
    up.add_argument(
        "--models", type=Path, metavar="FOLDER", help="a Triton model repository (default: the demo's models)"
    )
    up.add_argument(
        "--gateway",
        metavar="PORT",
        type=port,
        nargs="?",
        const=GATEWAY_PORT,
        help=f"run the HTTP gateway too, on this port of 127.0.0.1 ({GATEWAY_PORT})",
    )
    up.set_defaults(run=_up)
    down = command(actions, "down", "end the stack", "End the stack that `local up` runs, and wait until it has ended.")
    down.set_defaults(run=_down)
    env = command(
        actions,
        "env",
        "print the environment variables to use it",
        "Print the environment variables that make producers, this command and the AWS CLI use the running stack.",
        '  eval "$(inference-engine local env)"',
    )
    add_json(env)
    env.set_defaults(run=_env)


def _add_demo(commands: Commands) -> None:
    parser = command(
        commands,
        "demo",
        "run a demonstration: five models, two consumers of two slots",
        "Post real inputs for five models by label, run them where their model is loaded, collect the results by message\n"
        "id, and show which consumer did what. Two consumers have two slots each, so the five models do not all fit.\n"
        "The exit code is 0 only if every job has exactly one result, and that result is a success.",
        "  inference-engine demo\n"
        "  inference-engine demo --jobs 2000 --json | jq .misses\n"
        "  inference-engine demo --endpoint-url http://127.0.0.1:4566",
    )
    _add_stack(parser, count)
    parser.add_argument("--jobs", type=count, default=500, metavar="N", help="jobs in all (default: 500)")
    parser.add_argument("--query", metavar="SENTENCE", help="the sentence whose nearest neighbours are shown")
    add_json(parser)
    parser.set_defaults(run=_demo)


def _add_stack(parser: argparse.ArgumentParser, consumers: Callable[[str], int]) -> None:
    parser.add_argument("--consumers", type=consumers, default=2, metavar="N", help="consumer processes (default: 2)")
    parser.add_argument("--max-labels", type=count, default=2, metavar="N", help="slots of each consumer (default: 2)")
    parser.add_argument("--endpoint-url", metavar="URL", help="use this AWS emulator instead of starting one")
    parser.add_argument(
        "--no-triton", action="store_true", help="run the models with ONNX Runtime inside the consumers"
    )


def _stack(arguments: argparse.Namespace, repository: Path) -> LocalStack:
    from ..local.stack import LocalStack

    return LocalStack(
        repository=repository,
        consumer_count=arguments.consumers,
        max_labels=arguments.max_labels,
        endpoint_url=arguments.endpoint_url,
        use_triton=not arguments.no_triton,
        gateway_port=getattr(arguments, "gateway", None),
        progress=note,
    )


def _up(arguments: argparse.Namespace) -> int:
    with needs("local"):
        from inference_engine_demo.models import model_repository

        from ..local import log_files, running
        from ..local.watch import watch
    if arguments.gateway:
        from ..gateway.settings import GatewaySettings

        # Checked before anything starts: the gateway would report invalid settings only in its log.
        GatewaySettings(port=arguments.gateway)
    with running.only_one(), _sigterm_as_interrupt():
        models = arguments.models or (model_repository(note) if arguments.consumers else Path())
        if not models.is_dir():
            raise InferenceEngineError(f"--models {models}: no such folder; give a Triton model repository")
        stack = _stack(arguments, models)
        try:
            with stack:
                gateway = f"http://127.0.0.1:{stack.gateway_port}" if stack.gateway_port else None
                consumers = {item.name: item.http_url for item in stack.consumers}
                running.record(stack.environment(), {"consumers": consumers, "gateway": gateway})
                print(_exports(stack.environment()))
                if gateway:
                    note(f"the gateway is at {gateway}, its status page at {gateway}/ui")
                if stack.consumers:
                    note(f"labels: {', '.join(_models(models))}")
                note(f"logs are in {log_files.folder()}")
                note('ready; in another terminal: eval "$(inference-engine local env)"; ctrl-C ends it')
                watch(stack)
        except KeyboardInterrupt:
            note("stopped")
    return 0


def _models(repository: Path) -> list[str]:
    return sorted(folder.name for folder in repository.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _down(arguments: argparse.Namespace) -> int:
    with needs("local"):
        from ..local import running
    note("the local stack has ended" if running.end(DOWN_SECONDS) else "no local stack is running")
    return 0


def _env(arguments: argparse.Namespace) -> int:
    with needs("local"):
        from ..local import running
    state = running.state()
    if state is None:
        raise InferenceEngineError("no local stack is ready; start it with: inference-engine local up")
    if arguments.json:
        print_json(state)
    else:
        print(_exports(state["environment"]))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    with needs("local"):
        from inference_engine_demo import jobs, report
        from inference_engine_demo.models import model_repository
    with _sigterm_as_interrupt(), _stack(arguments, model_repository(note)) as stack:
        outcome = jobs.run(stack, jobs=arguments.jobs, query=arguments.query or jobs.QUERY)
    if arguments.json:
        print_json(outcome.as_json())
    else:
        report.print_outcome(outcome)
    return 0 if outcome.ok else 1


def _exports(environment: dict[str, Any]) -> str:
    return "\n".join(f"export {name}={shlex.quote(str(value))}" for name, value in environment.items())


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind as ctrl-C does, so that everything is stopped in order; further SIGTERMs are ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)
