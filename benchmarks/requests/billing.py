"""What AWS bills for a call, from its parsed request and response. Pure functions.

SQS bills a batch as one request, but DynamoDB bills each of its statements and keys as if it had come alone: batches save
requests and processor time, not units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: List prices in us-east-1, dollars per million. "Amazon SQS pricing" (beyond the free tier, up to 100 billion a month) and
#: "Pricing for on-demand capacity" of DynamoDB's standard table class.
SQS_FIFO_REQUEST = 0.50
SQS_STANDARD_REQUEST = 0.40
WRITE_UNIT = 0.625
READ_UNIT = 0.125

#: SQS bills a request once per started chunk of its payload ("Amazon SQS pricing").
SQS_CHUNK_BYTES = 64 * 1024
#: DynamoDB Developer Guide, "DynamoDB read and write operations": bytes of a write unit and of a read unit.
WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
#: What an eventually consistent read costs, as a share of a read unit.
EVENTUALLY = 0.5

_TABLE = re.compile(r'(?:INTO|UPDATE|FROM)\s+"?([A-Za-z0-9_.-]+)"?', re.IGNORECASE)
_DYNAMODB_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})


@dataclass(frozen=True, slots=True)
class Bill:
    """What calls cost: requests to SQS in chunks of 64 KB, and DynamoDB's write and read units."""

    calls: int = 0
    fifo_requests: int = 0
    standard_requests: int = 0
    write_units: float = 0.0
    read_units: float = 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            self.calls + other.calls,
            self.fifo_requests + other.fifo_requests,
            self.standard_requests + other.standard_requests,
            self.write_units + other.write_units,
            self.read_units + other.read_units,
        )

    @property
    def dollars(self) -> float:
        """At list prices."""
        return (
            self.fifo_requests * SQS_FIFO_REQUEST
            + self.standard_requests * SQS_STANDARD_REQUEST
            + self.write_units * WRITE_UNIT
            + self.read_units * READ_UNIT
        ) / 1e6


def resource(request: Mapping[str, Any]) -> str:
    """The queue or table of a call; '' if it names none."""
    if url := request.get("QueueUrl"):
        return str(url).rpartition("/")[2]
    if name := request.get("QueueName") or request.get("TableName"):
        return str(name)
    if items := request.get("RequestItems"):
        return str(next(iter(items)))
    statements = request.get("Statements") or ([request] if "Statement" in request else [])
    found = _TABLE.search(statements[0]["Statement"]) if statements else None
    return found.group(1) if found else ""


def bill(service: str, operation: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Bill:
    """What one call is billed."""
    if service.startswith("DynamoDB"):
        return Bill(1, write_units=_write_units(operation, request), read_units=_read_units(operation, request, answer))
    chunks = max(1, math.ceil(_payload_bytes(request, answer) / SQS_CHUNK_BYTES))
    if resource(request).endswith(".fifo"):
        return Bill(1, fifo_requests=chunks)
    return Bill(1, standard_requests=chunks)


def _payload_bytes(request: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    sent = [request, *request.get("Entries", ())]
    bodies = [str(message.get("MessageBody", "")) for message in sent]
    bodies += [str(message["Body"]) for message in answer.get("Messages", ())]
    return sum(len(body.encode()) for body in bodies)


def _write_units(operation: str, request: Mapping[str, Any]) -> float:
    """A failed condition costs what the write would have cost.

    A call does not contain the size of an item that it only changes: the assigned values stand in for it.
    """
    if operation in _DYNAMODB_WRITES:
        parts = ("Item", "Key", "ExpressionAttributeValues")
        return _units(sum(_item_bytes(request.get(part) or {}) for part in parts[: 1 if "Item" in request else 3]))
    if operation == "BatchWriteItem":
        writes = [write for writes in request["RequestItems"].values() for write in writes]
        return sum(_units(_item_bytes(write.get("PutRequest", {}).get("Item", {}))) for write in writes)
    return sum(
        _units(sum(_value_bytes(value) for value in statement.get("Parameters", ())))
        for statement in _statements(operation, request)
        if not _is_select(statement)
    )


def _read_units(operation: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    if operation == "GetItem":
        return _read(_item_bytes(answer.get("Item") or {}), request)
    if operation in ("Query", "Scan"):
        return _read(sum(_item_bytes(item) for item in answer.get("Items", ())), request)
    if operation == "BatchGetItem":
        return sum(_batch_read(table, asked, answer) for table, asked in request["RequestItems"].items())
    share = EVENTUALLY if not request.get("ConsistentRead") else 1.0
    return share * sum(_is_select(statement) for statement in _statements(operation, request))


def _batch_read(table: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Each key is a separate read, found or not; unprocessed keys are billed when they are read."""
    found = answer.get("Responses", {}).get(table, [])
    left = len((answer.get("UnprocessedKeys") or {}).get(table, {}).get("Keys", ()))
    missing = len(asked["Keys"]) - len(found) - left
    return sum(_read(_item_bytes(item), asked) for item in found) + missing * _read(0, asked)


def _statements(operation: str, request: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if operation == "ExecuteStatement":
        return [request]
    return request["Statements"] if operation == "BatchExecuteStatement" else []


def _is_select(statement: Mapping[str, Any]) -> bool:
    return str(statement["Statement"]).lstrip().upper().startswith("SELECT")


def _units(item_bytes: int) -> int:
    return max(1, math.ceil(item_bytes / WRITE_UNIT_BYTES))


def _read(item_bytes: int, options: Mapping[str, Any]) -> float:
    units = max(1, math.ceil(item_bytes / READ_UNIT_BYTES))
    return units * (1.0 if options.get("ConsistentRead") else EVENTUALLY)


def _item_bytes(item: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Any) -> int:
    """Approximately what DynamoDB counts for a typed value: the bytes of its text."""
    if isinstance(value, Mapping):
        return sum(_value_bytes(part) for part in value.values())
    if isinstance(value, list):
        return sum(_value_bytes(part) for part in value)
    return len(str(value).encode())
