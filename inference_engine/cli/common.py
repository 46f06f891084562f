"""What the commands share: options, settings, output."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from ..deployment import Deployment
    from ..settings import Settings

log = logging.getLogger(__name__)

Result = TypeVar("Result")

Commands = Any  # the type that argparse's add_subparsers returns has no public name

#: Options that are settings; they take precedence over the environment.
_SETTING_OPTIONS = {
    "prefix": "name that all queues and tables of this deployment begin with (default: inference-engine)",
    "region": "AWS region (default: what the AWS SDK finds)",
    "bucket": "S3 bucket for bodies and results that do not fit a message or a record",
}

formatter = argparse.RawDescriptionHelpFormatter


class UsageError(Exception):
    """The command cannot be run as it was given; exit code 2."""


class Parser(argparse.ArgumentParser):
    """Reports an unknown option with the usage of the command that got it, and with the option that may have been meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The arguments; an unknown one is a usage error, which ends the process."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = difflib.get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return arguments, unknown


def command(commands: Commands, name: str, help_: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    """A new command whose help shows examples as they are written."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_,
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=formatter,
    )
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Options that override settings."""
    group = parser.add_argument_group("settings (each is also an environment variable INFERENCE_ENGINE_…)")
    for name, text in _SETTING_OPTIONS.items():
        group.add_argument(f"--{name}", metavar=name.upper(), help=text)
    group.add_argument(
        "--environment", metavar="NAME", help="an environment that Terraform deployed: its settings are read from SSM"
    )


def add_single_queue(parser: argparse.ArgumentParser) -> None:
    """Options of the mode with one fixed queue."""
    group = parser.add_argument_group("one fixed queue instead of a queue per label")
    group.add_argument("--queue-name", metavar="NAME.fifo", help="the FIFO queue that all jobs use")
    group.add_argument("--table", metavar="TABLE", help="the DynamoDB table of job records")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option for output that programs read."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_logging(parser: Any) -> None:
    """Options of commands that run until they are stopped."""
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")


def start_logging(arguments: argparse.Namespace, *read: type[BaseSettings]) -> None:
    """Log as the options say, and warn first about variables that look like one of the settings `read` but are none."""
    from .. import logs
    from ..settings import unknown_variables

    logs.configure(arguments.log_format, arguments.log_level)
    for kind in read:
        for text in unknown_variables(kind):
            log.warning("%s", text)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings from the environment and the options. Raises SettingsError where one is invalid."""
    from ..settings import Settings

    given = {name: getattr(arguments, name, None) for name in _SETTING_OPTIONS}
    if table := getattr(arguments, "table", None):
        given["jobs_table"] = table
    given = {name: value for name, value in given.items() if value is not None}
    if environment := getattr(arguments, "environment", None):
        from ..aws.parameters import deployed_settings

        return deployed_settings(environment, region=given.pop("region", None), **given)
    return Settings(**given)


def with_aws(arguments: argparse.Namespace, use: Callable[[Deployment], Awaitable[Result]]) -> Result:
    """What `use` returns when it is called with AWS as commands use it."""
    settings = settings_of(arguments)

    async def run() -> Result:
        from ..deployment import Deployment

        deployment = Deployment.for_command(settings)
        try:
            return await use(deployment)
        finally:
            await deployment.close()

    return asyncio.run(run())


def positive(text: str) -> float:
    """An argument that is a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def count(text: str) -> int:
    """An argument that is a whole number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def number(text: str) -> int:
    """An argument that is a whole number, zero included."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def port(text: str) -> int:
    """An argument that is a TCP port."""
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a TCP port (1 to 65535)")
    return int(text)


_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{prefix}{suffix}": 1000 ** (power + 1) for power, prefix in enumerate("kmgt") for suffix in ("", "b")}
_UNITS |= {f"{prefix}i{suffix}": 1024 ** (power + 1) for power, prefix in enumerate("kmgt") for suffix in ("", "b")}


def size(text: str) -> int:
    """An argument in bytes: `2000000`, `500MB` (powers of 1000), `8GiB` (powers of 1024)."""
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = _UNITS.get(text.strip()[len(number) :].strip().lower())
    try:
        value = int(float(number) * unit) if unit else 0
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 2000000, 500MB or 8GiB")
    return value


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns, numbers to the right; with only the standard library, for the plain install."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *cells]) for column in range(len(head))]
    numeric = [bool(rows) and all(isinstance(row[column], int | float) for row in rows) for column in range(len(head))]
    for line in [list(head), *cells]:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ]
        print("  ".join(padded).rstrip())


def note(text: str) -> None:
    """Print a message to standard error, where no program reads it as output."""
    print(text, file=sys.stderr)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
