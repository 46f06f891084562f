"""post, status, result, cancel: jobs from a shell."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from ..errors import DecodeError
from .common import (
    Commands,
    UsageError,
    add_json,
    add_settings,
    add_single_queue,
    command,
    note,
    positive,
    print_json,
    settings_of,
)

if TYPE_CHECKING:
    from ..jobs.job import Response
    from ..producer import Producer


def add(commands: Commands) -> None:
    """Declare the commands."""
    _add_post(commands)
    _add_status(commands)
    _add_result(commands)
    _add_cancel(commands)


def _add_post(commands: Commands) -> None:
    parser = command(
        commands,
        "post",
        "post a job",
        "Post a job and print its message id, or with --wait its result.\n\n"
        'BODY is JSON. Bytes and arrays are written as {"$bytes": BASE64} and\n'
        '{"$tensor": {"dtype": "<f4", "shape": [2], "data": BASE64}}; NaN is refused, because JSON has no NaN.',
        '  inference-engine post resnet50 \'{"image": "s3://bucket/cat.jpg"}\' --wait\n'
        "  inference-engine post resnet50 - < body.json\n"
        "  inference-engine post resnet50 '{}' --dedup-key order-17 --deadline-in 60\n"
        "  inference-engine post --queue-name jobs.fifo --table jobs '{\"number\": 4}' --wait",
    )
    parser.add_argument("label", metavar="LABEL", nargs="?", help="the label of the model; omitted with --queue-name")
    parser.add_argument("body", metavar="BODY", nargs="?", help="JSON text, or - for standard input (the default)")
    parser.add_argument("--wait", action="store_true", help="wait for the result and print it")
    parser.add_argument("--timeout", type=positive, metavar="SECONDS", help="how long --wait waits")
    parser.add_argument("--deadline-in", type=positive, metavar="SECONDS", help="do not start the job later than this")
    parser.add_argument(
        "--dedup-key", metavar="KEY", help="a post with the same key within five minutes adds no second job"
    )
    parser.add_argument("--request-id", metavar="ID", help="your own name for the job; returned with its result")
    add_json(parser)
    add_single_queue(parser)
    add_settings(parser)
    parser.set_defaults(run=_post)


def _add_status(commands: Commands) -> None:
    parser = command(
        commands,
        "status",
        "print the status of a job",
        "Print SUBMITTED, IN_PROGRESS, SUCCESS, ERROR, CANCELLED or EXPIRED.",
        "  inference-engine status 7b2c…",
    )
    _add_message_id(parser)
    parser.set_defaults(run=_status)


def _add_result(commands: Commands) -> None:
    parser = command(
        commands,
        "result",
        "print a job's result",
        "Print the result of a job as JSON. The exit code is 1 when it failed or is not finished.",
        "  inference-engine result 7b2c… --wait --timeout 60\n  inference-engine result 7b2c… --json | jq .status",
    )
    _add_message_id(parser)
    parser.add_argument("--wait", action="store_true", help="wait until the job is finished")
    parser.add_argument("--timeout", type=positive, metavar="SECONDS", help="how long --wait waits")
    parser.set_defaults(run=_result)


def _add_cancel(commands: Commands) -> None:
    parser = command(
        commands,
        "cancel",
        "end a job that is not finished",
        "A job that still waits is not computed. One that is being computed is not interrupted; its result is dropped.\n"
        "The exit code is 1 when the job had already finished.",
        "  inference-engine cancel 7b2c…",
    )
    _add_message_id(parser)
    parser.set_defaults(run=_cancel)


def _add_message_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("message_id", metavar="ID", help="the message id that post printed")
    add_json(parser)
    add_single_queue(parser)
    add_settings(parser)


def _producer(arguments: argparse.Namespace) -> Producer:
    from ..deployment import Deployment
    from ..producer import Producer

    return Producer(
        settings_of(arguments),
        queue_name=arguments.queue_name,
        timeout_seconds=getattr(arguments, "timeout", None),
        connect=Deployment.for_command,
    )


def _post(arguments: argparse.Namespace) -> int:
    label, text = _label_and_text(arguments)
    body = _body(text)
    deadline = time.time() + arguments.deadline_in if arguments.deadline_in else None
    options = {"deadline": deadline, "dedup_key": arguments.dedup_key, "request_id": arguments.request_id}
    with _producer(arguments) as producer:
        if arguments.wait:
            return _show(producer.post(body, label, **options), arguments)
        message_id = producer.post_non_blocking(body, label, **options)
    if arguments.json:
        print_json({"message_id": message_id})
    else:
        print(message_id)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    with _producer(arguments) as producer:
        status = producer.retrieve_result_status(arguments.message_id)
    if arguments.json:
        print_json({"message_id": arguments.message_id, "status": status.value, "finished": status.finished})
    else:
        print(status.value)
    return 0


def _result(arguments: argparse.Namespace) -> int:
    with _producer(arguments) as producer:
        look = producer.wait if arguments.wait else producer.retrieve_result
        return _show(look(arguments.message_id), arguments)


def _cancel(arguments: argparse.Namespace) -> int:
    with _producer(arguments) as producer:
        cancelled = producer.cancel(arguments.message_id)
        status = producer.retrieve_result_status(arguments.message_id)
    if arguments.json:
        print_json({"message_id": arguments.message_id, "cancelled": cancelled, "status": status.value})
    elif cancelled:
        print("cancelled")
    else:
        note(f"inference-engine: not cancelled: the job is already {status.value}")
    return 0 if cancelled else 1


def _label_and_text(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """The label (None for a single queue) and the text of the body."""
    label, text = arguments.label, arguments.body
    if arguments.queue_name:
        if text is not None:
            raise UsageError(f"a job for the single queue {arguments.queue_name!r} has no label; leave {label!r} out")
        label, text = None, label
    elif label is None:
        raise UsageError("no label given: inference-engine post LABEL BODY (or --queue-name for a single queue)")
    if text is None or text == "-":
        if sys.stdin.isatty() and text is None:
            raise UsageError("no body given: write JSON as an argument, or - to read standard input")
        text = sys.stdin.read()
    return label, text


def _body(text: str) -> Any:
    """The value of the body's text; arrays and bytes may be in the codec's own form."""
    from ..jobs.codec import decode

    try:
        return decode(text)
    except DecodeError as error:
        raise UsageError(
            f"BODY {text[:40]!r} is not JSON ({error.__cause__}); a JSON string needs its own quotes: '\"text\"'"
        ) from error


def _show(response: Response, arguments: argparse.Namespace) -> int:
    """Print the outcome of a job; the exit code is 0 for a result."""
    if arguments.json:
        from ..jobs.codec import encode

        # The codec's form keeps arrays and bytes without loss; it is nested JSON, not a string.
        fields = response.model_dump(mode="json", exclude={"result"})
        print_json(fields | {"result": json.loads(encode(response.result))})
    elif response.ok:
        print(json.dumps(response.result, ensure_ascii=False, default=_plain))
    elif response.error:
        note(
            f"inference-engine: {response.message_id} {response.status.value}: {' '.join(str(response.error).split())}"
        )
    else:
        note(f"inference-engine: {response.message_id} is {response.status.value}{_hint(response)}")
    return 0 if response.ok else 1


def _hint(response: Response) -> str:
    return "" if response.status.finished else "; use --wait to wait for its result"


def _plain(value: Any) -> Any:
    """A readable form of a value that JSON does not know."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
