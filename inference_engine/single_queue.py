"""What constructors take: settings, and the names of the single-queue mode, which serves one queue and one table."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass

from .errors import SettingsError
from .settings import Settings


@dataclass(frozen=True, slots=True)
class DynamoDBClient:
    """Where job records are kept: a table's name, and a region if it is not the SDK's default."""

    table: str
    region: str | None = None


def settings_and_queue(
    queue_or_settings: str | Settings | None,
    settings: Settings | None,
    queue_name: str | None,
    ddb_client: DynamoDBClient | None,
) -> tuple[Settings, str | None]:
    """The settings that a constructor's arguments amount to, and the name of the one queue, None for a queue per label.

    The first argument is either of the next two. Raises SettingsError where one is given twice or is of another type.
    """
    _check("the first argument", queue_or_settings, str, Settings)
    _check("settings", settings, Settings)
    _check("queue_name", queue_name, str)
    _check("ddb_client", ddb_client, DynamoDBClient)
    if isinstance(queue_or_settings, str):
        if queue_name is not None:
            raise SettingsError(
                f"the queue is named twice, {queue_or_settings!r} as the first argument and queue_name={queue_name!r}; "
                "name it once"
            )
        queue_name = queue_or_settings
    elif queue_or_settings is not None:
        if settings is not None:
            raise SettingsError(
                f"settings are given twice, with prefix {queue_or_settings.prefix!r} as the first argument and with "
                f"prefix {settings.prefix!r} as settings=…; give them once"
            )
        settings = queue_or_settings
    settings = settings or Settings()
    if ddb_client is not None:
        changed = {"jobs_table": ddb_client.table, "region": ddb_client.region or settings.region}
        settings = settings.model_copy(update=changed)
    return settings, queue_name


def _check(what: str, value: object, *kinds: type) -> None:
    if value is not None and not isinstance(value, kinds):
        wanted = " or ".join(_WANTED[kind] for kind in kinds)
        raise SettingsError(f"{what} is {reprlib.repr(value)}, of type {type(value).__name__}; give {wanted}")


_WANTED = {str: "the name of a queue (str)", Settings: "Settings(…)", DynamoDBClient: "DynamoDBClient(table=…)"}
