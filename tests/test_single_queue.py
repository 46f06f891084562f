"""What constructors make of their first argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_engine import AsyncConsumer, AsyncProducer, Consumer, DynamoDBClient, Producer, Settings
from inference_engine.errors import SettingsError
from inference_engine.single_queue import settings_and_queue

ONE, OTHER = Settings(prefix="one"), Settings(prefix="other")


@pytest.mark.parametrize(
    ("arguments", "prefix", "queue"),
    [
        ((None, None, None), "inference-engine", None),
        ((ONE, None, None), "one", None),
        ((None, ONE, None), "one", None),
        (("jobs.fifo", None, None), "inference-engine", "jobs.fifo"),
        (("jobs.fifo", ONE, None), "one", "jobs.fifo"),
        ((ONE, None, "jobs.fifo"), "one", "jobs.fifo"),
        ((None, ONE, "jobs.fifo"), "one", "jobs.fifo"),
    ],
)
def test_settings_and_queue_may_be_given_in_each_way(arguments: Any, prefix: str, queue: str | None) -> None:
    first, by_keyword, named = arguments
    settings, queue_name = settings_and_queue(first, by_keyword, named, None)
    assert (settings.prefix, queue_name) == (prefix, queue)


def test_a_table_changes_the_settings_of_job_records_alone() -> None:
    settings, _ = settings_and_queue(ONE, None, None, DynamoDBClient("table", "eu-west-3"))
    assert (settings.jobs_table, settings.region, settings.registry_table) == ("table", "eu-west-3", "one-registry")
    assert settings_and_queue(settings, None, None, DynamoDBClient("other"))[0].region == "eu-west-3"


@pytest.mark.parametrize("kind", [AsyncConsumer, AsyncProducer, Consumer, Producer])
@pytest.mark.parametrize(
    ("first", "options", "told"),
    [
        (
            "one.fifo",
            {"queue_name": "other.fifo"},
            "the queue is named twice, 'one.fifo' as the first argument and queue_name='other.fifo'; name it once",
        ),
        (
            ONE,
            {"settings": OTHER},
            "settings are given twice, with prefix 'one' as the first argument and with prefix 'other' as settings=…; "
            "give them once",
        ),
        (
            7,
            {},
            "the first argument is 7, of type int; give the name of a queue (str) or Settings(…)",
        ),
        (None, {"settings": "one.fifo"}, "settings is 'one.fifo', of type str; give Settings(…)"),
        (None, {"queue_name": b"one.fifo"}, "queue_name is b'one.fifo', of type bytes; give the name of a queue (str)"),
        (None, {"ddb_client": "jobs"}, "ddb_client is 'jobs', of type str; give DynamoDBClient(table=…)"),
    ],
)
def test_a_wrong_first_argument_is_told(
    kind: Callable[..., Any], first: Any, options: dict[str, Any], told: str
) -> None:
    if kind in (AsyncConsumer, Consumer):
        options = {"compute_result": print, **options}
    with pytest.raises(SettingsError) as error:
        kind(first, **options)
    assert str(error.value) == told
