"""How this library's processes write logs: as text for people, or as JSON lines for whatever collects them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

#: Attributes that every record has; all others were given by `extra`.
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
#: These log at INFO what matters only to their own developers.
_TALKATIVE = ("botocore", "aiobotocore", "boto3", "urllib3", "aiohttp.access", "asyncio", "uvicorn")


#: Control characters and line separators, and how they are written: logged text of a caller must not look like other lines.
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, the exception if there is one, and all of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON; a value that JSON does not know is written as its `str`."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in extra_of(record).items() if name not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people, with `extra` at its end as `name=value`; control characters are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without an exception, which follows on lines of its own."""
        extra = " ".join(f"{name}={value}" for name, value in extra_of(record).items())
        line = super().formatMessage(record)
        return (f"{line} [{extra}]" if extra else line).translate(_ESCAPES)


def extra_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What the caller gave a record as `extra`, message_id and label first if they are there."""
    given = {name: value for name, value in record.__dict__.items() if name not in _OWN and not name.startswith("_")}
    return {name: given[name] for name in sorted(given, key=lambda name: (name not in ("message_id", "label"), name))}


def configure(log_format: LogFormat = "text", level: str = "INFO") -> None:
    """Send all logs of this process to standard error in this format; replaces any earlier configuration."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def metric_record(
    namespace: str, deployment: str, counts: Mapping[str, int], now: float, **properties: Any
) -> dict[str, Any]:
    """A log record that CloudWatch reads metrics from (User Guide, "Embedded metric format specification").

    `properties` can be searched for in the log; they are not dimensions, which would be billed.
    """
    metrics = [{"Name": name, "Unit": "Count"} for name in counts]
    directive = {"Namespace": namespace, "Dimensions": [["Deployment"]], "Metrics": metrics}
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]},
        "Deployment": deployment,
        **counts,
        **properties,
    }
