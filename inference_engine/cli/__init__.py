"""The command `inference-engine`: run consumers, post jobs and manage labels from a shell.

Each family of commands is a module with `add(commands)`, which only declares arguments. A command imports what it needs
when it runs: `--help` is quick, and a plain install is enough for every command that needs no extra.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import InferenceEngineError, LocalStackError
from . import consume, dead_letters, fleet, gateway, jobs, keys, local, top, webhooks
from .common import Parser, UsageError, formatter

#: The exit code that shells report for a process that SIGINT ended: 128 + 2.
INTERRUPTED = 130

_DESCRIPTION = """\
Jobs for more ML models than you have memory: routed over SQS FIFO to the consumer that has the model loaded.

A *label* names a model. Jobs are posted by label, run where that label is loaded, and their results are kept under
the message id that posting returns."""

_EXAMPLES = """\
try it on this machine, without an AWS account:
  inference-engine demo                                  five models, two consumers, a table at the end
  inference-engine local up                              the same stack, for use by hand
  eval "$(inference-engine local env)"                   in a second terminal: talk to it

run a consumer:
  inference-engine consume --function my_app:compute     a Python function
  inference-engine consume --triton 127.0.0.1:8001 --max-labels 4

post and collect:
  inference-engine post resnet50 '{"image": "s3://bucket/cat.jpg"}' --wait
  id=$(inference-engine post resnet50 - < body.json)
  inference-engine result "$id" --wait

Every setting is an environment variable INFERENCE_ENGINE_…; region, credentials and endpoint are the AWS SDK's own
(AWS_REGION, AWS_ENDPOINT_URL, …). `inference-engine COMMAND --help` explains a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 after ctrl-C."""
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed the help or the error
        return end.code if isinstance(end.code, int) else 2
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        return _complain(error, 2)
    except InferenceEngineError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone (`… | head`): nobody would see an error, and nothing more may be flushed into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a port in use, a folder that cannot be read: a traceback would explain nothing more
        return _complain(error, 1)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="inference-engine", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for family in (consume, gateway, jobs, fleet, top, dead_letters, keys, webhooks, local):
        family.add(commands)
    return parser


def _complain(error: Exception, code: int) -> int:
    """Print the error to standard error: one line, except where the message includes the end of a log."""
    text = str(error)
    if not isinstance(error, LocalStackError):
        text = " ".join(text.split())
    print(f"inference-engine: {text}", file=sys.stderr)
    return code
