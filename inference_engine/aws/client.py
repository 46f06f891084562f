"""Names a jobs table the way the single-queue API does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DynamoDBClient:
    """Where job records are kept: a table name, and a region when it is not the SDK's own."""

    table: str
    region: str | None = None
