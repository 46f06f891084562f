"""Names a jobs table as in the single-queue API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DynamoDBClient:
    """Where job records are kept: a table name, and a region if it is not the SDK's default."""

    table: str
    region: str | None = None
