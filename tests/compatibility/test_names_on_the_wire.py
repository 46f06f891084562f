"""Names on the wire are those of wire.toml, and its page of the documentation is made from it."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic_settings import BaseSettings

from docs import _wire_tables
from docs._terraform_tables import TERRAFORM, attributes, blocks
from inference_engine import ResultStatus
from inference_engine.api_keys import KEY_PATTERN
from inference_engine.aws.parameters import parameter_path, webhook_secret_name
from inference_engine.cli.gateway_status import KEY_VARIABLE
from inference_engine.dead_letters.handler import Buried
from inference_engine.deployment import Deployment
from inference_engine.fleet.view import ConsumerState
from inference_engine.gateway.apis.metrics import GatewayMetrics
from inference_engine.gateway.dispatch.flow_control.limits import WaitOutcome
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.dispatch.stats import StatusData
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.jobs import codec
from inference_engine.labels import cell_of, message_group, placement_queue_name, queue_name
from inference_engine.local.cache import cache_folder
from inference_engine.operations.backlog import Measures
from inference_engine.operations.overview import LabelState
from inference_engine.operations.scaling import metric_data
from inference_engine.settings import Settings, WebhookSettings
from inference_engine.webhooks.delivery import DeliveryOutcome
from inference_engine.webhooks.outbox import delivery_of
from inference_engine.webhooks.rules import EVENTS
from lambdas.backlog_metrics.handler import BacklogSettings
from lambdas.dead_letters import handler as dead_letters
from lambdas.webhooks import handler as webhooks
from tests.support.words import hits, right_terms

from .scenario import DEDUP_KEY, LABELS, Written, play
from .wire import WIRE, check_items, check_json, check_names, names_of, pattern_of

KEY = ("pk", "sk")
LABEL = f"({'|'.join(LABELS)})"
HEX = "[0-9a-f]{32}"


@pytest.fixture(scope="module")
def written(aws_environment: str) -> Written:
    """Everything that can be written, written once."""
    return play(f"w{uuid.uuid4().hex[:8]}")


# --- the list itself -----------------------------------------------------------------------------------------------------


def test_the_page_is_made_from_the_list() -> None:
    page = _wire_tables.PAGE.read_text("utf-8")
    assert _wire_tables.filled(page) == page, "run: python docs/_wire_tables.py"


def test_for_each_name_with_a_retired_word_the_list_says_todays() -> None:
    rows = {(section, name): row for section, told in WIRE.items() for name, row in _names(told).items()}
    old = {key for key in rows if any(hits(key[1], right_terms()))}
    assert old
    assert {key for key in old if len(rows[key]) < 3} == set()


def _names(section: Any) -> Mapping[str, list[str]]:
    names: Mapping[str, list[str]] = section["names"] if isinstance(section, dict) else {}
    return names


# --- queues and tables ---------------------------------------------------------------------------------------------------


def test_job_messages(written: Written) -> None:
    check_json("job_message", written.bodies())
    assert {body["version"] for body in written.bodies()} == {1}


def test_job_records(written: Written) -> None:
    check_items("job_record", written.jobs)


def test_load_requests(written: Written) -> None:
    check_json("load_request", [json.loads(message["Body"]) for message in written.load_requests])


@pytest.mark.parametrize(
    ("partition", "item", "row"),
    [
        ("cell", "consumer_item", "consumer_row"),
        ("claim", "claim_item", None),
        ("labels", "label_item", "label_row"),
        ("models", "model_item", "model_row"),
        ("failures", "failure_item", None),
        ("waiting", "waiting_item", None),
        ("sweep", "sweep_item", None),
        ("dead-letters", "dead_letter_item", "dead_letter_row"),
        ("keys", "key_item", "key_row"),
    ],
)
def test_items_of_the_registry(written: Written, partition: str, item: str, row: str | None) -> None:
    items = written.registry[partition]
    assert items, f"the scenario no longer writes {partition}"
    for one in items:
        for part in KEY:
            assert pattern_of(WIRE[item][part], {}).fullmatch(one[part]["S"]), f"{part} of {item} has changed"
    check_items(item, items, without=KEY)
    if row is not None:
        check_json(row, written.rows(partition))


def test_the_registry_has_no_other_items(written: Written) -> None:
    listed = {section["pk"].partition("#")[0] for section in WIRE.values() if "pk" in section}
    assert set(written.registry) == listed


def test_queues_tables_and_objects(written: Written) -> None:
    prefix = written.settings.prefix
    listed = names_of("resources")
    found = {"queue": written.queues, "table": written.tables, "S3 key": written.objects}
    known = {"prefix": prefix, "label": LABEL, "32 hexadecimal digits": HEX}
    for kind, names in found.items():
        patterns = [pattern_of(name, known) for name, of in listed.items() if of == kind and "{cell}" not in name]
        assert [name for name in names if not any(one.fullmatch(name) for one in patterns)] == []
        assert [one.pattern for one in patterns if not any(one.fullmatch(name) for name in names)] == []
    assert placement_queue_name("p", 3, 4) == "p-placement--3.fifo"
    assert "{prefix}-placement--{cell}.fifo" in listed


def test_message_groups_and_deduplication_ids(written: Written) -> None:
    attributes = [message["Attributes"] for message in (*written.messages, *written.load_requests)]
    found = {
        "group": {one["MessageGroupId"] for one in attributes} | {message_group("m", "d", 3)},
        "deduplication id": {one["MessageDeduplicationId"] for one in attributes} - {"no job"},
    }
    known = {
        "label": LABEL,
        "SHA-256 of dedup_key": hashlib.sha256(DEDUP_KEY.encode()).hexdigest(),
        "32 hexadecimal digits": HEX,
    }
    for kind, names in found.items():
        patterns = [pattern_of(name, known) for name, of in names_of("message_ids").items() if of == kind]
        assert [name for name in names if not any(one.fullmatch(name) for one in patterns)] == []
        assert [one.pattern for one in patterns if not any(one.fullmatch(name) for name in names)] == []


@pytest.mark.parametrize("example", WIRE["examples"], ids=lambda example: str(example["label"]))
def test_what_follows_from_a_label_by_hashing_does_not_change(example: dict[str, Any]) -> None:
    label = example["label"]
    assert queue_name("p", label) == example["queue"]
    assert message_group(label, "d", 4) == example["group"]
    assert cell_of(label, 8) == example["cell"]


def test_markers_of_the_codec() -> None:
    values = (np.arange(2), np.array(["a"], dtype=object), b"x", {"$bytes": 1})
    check_json("codec", [json.loads(codec.encode(value)) for value in values])


def test_the_text_of_a_key() -> None:
    assert KEY_PATTERN.fullmatch("ie_0123456789_" + "x" * 43)


# --- values --------------------------------------------------------------------------------------------------------------


def test_values(written: Written) -> None:
    failures = {item["error_type"]["S"] for item in written.jobs if "error_type" in item}
    found = dict.fromkeys((status.value for status in ResultStatus), "`status` of a job")
    found |= dict.fromkeys(failures & {"DeadLettered", "Cancelled"}, "`error_type` of a job")
    found |= dict.fromkeys(EVENTS.values(), "`type` of a delivery")
    found |= dict.fromkeys(get_args(ConsumerState), "`state` of a consumer")
    found |= dict.fromkeys(get_args(LabelState), "`state` of a label")
    found |= dict.fromkeys((outcome.value for outcome in WaitOutcome), "outcome of flow control")
    check_names("values", found)


# --- webhooks ------------------------------------------------------------------------------------------------------------


def test_messages_of_deliveries(written: Written) -> None:
    items = [item for item in written.jobs if "callback_url" in item and "finished_at" in item]
    deliveries = [delivery_of({"dynamodb": {"NewImage": item}}) for item in items]
    check_json("delivery_message", [json.loads(one.encode()) for one in deliveries if one is not None])


def test_bodies_of_deliveries(written: Written) -> None:
    check_json("delivery_body", [delivery.event for delivery in written.deliveries])


def test_headers_of_deliveries(written: Written) -> None:
    own = {"host", "accept-encoding", "content-length", "connection"}
    for delivery in written.deliveries:
        check_names("delivery_headers", delivery.headers.keys() - own)
        message_id, status, attempt = re.fullmatch(r"(.+)-([A-Z_]+)-(\d+)", delivery.id).groups()  # type: ignore[union-attr]
        assert message_id == delivery.event["data"]["message_id"]
        assert (status, attempt.isdecimal()) == (delivery.event["data"]["status"], True)


# --- what operators read -------------------------------------------------------------------------------------------------


def test_overviews(written: Written) -> None:
    check_json("overview", written.overviews)


def test_lists_of_labels(written: Written) -> None:
    check_json("labels_list", written.labels)


def test_lists_of_dead_letters(written: Written) -> None:
    rows = written.dead_letters["letters"]
    check_json("dead_letter_row", [{name: one for name, one in row.items() if name != "redrivable"} for row in rows])
    check_json(
        "dead_letters_list", [written.dead_letters | {"letters": [{"redrivable": row["redrivable"]} for row in rows]}]
    )


def test_the_status_of_a_gateway() -> None:
    schema = StatusData.model_json_schema(mode="serialization")
    found = {name: kind for name, kind in fields_of(schema, schema) if not name.startswith("overview.")}
    check_names("gateway_status", found)


def fields_of(schema: dict[str, Any], root: dict[str, Any], owner: str = "") -> list[tuple[str, str]]:
    """The fields of an object with their types, as wire.toml writes them."""
    found: list[tuple[str, str]] = []
    for name, one in schema.get("properties", {}).items():
        path = f"{owner}{name}"
        kinds = [resolved(kind, root) for kind in one.get("anyOf", [one])]
        found.append((path, " or ".join("number" if kind["type"] == "integer" else kind["type"] for kind in kinds)))
        for kind in kinds:
            inner = resolved(kind["items"], root) if "items" in kind else kind
            found += fields_of(inner, root, f"{path}[]." if "items" in kind else f"{path}.")
    return found


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def test_the_port_of_a_consumer(written: Written) -> None:
    check_names("consumer_port", [path for path, (status, _) in written.http.items() if status == 200])
    check_json("consumer_stats", [json.loads(written.http["/stats"][1])])


def test_metrics_for_prometheus(written: Written) -> None:
    gateway = GatewayMetrics(Service(Deployment.for_producer(Settings(), threads=True), GatewaySettings()))
    gateway.requests.labels("/", "200").inc()
    gateway.seconds.labels("/").observe(1)
    found = series(written.http["/metrics"][1]) | series(generate_latest(gateway.registry).decode())
    # Nobody waits here, so there is no series.
    check_names("prometheus", found | {"inference_engine_gateway_waiting": "gauge (priority)"})


def series(text: str) -> dict[str, str]:
    """Type and labels of each metric in a text for Prometheus."""
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            # When a series began: prometheus_client adds it, and can be told not to.
            continue
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = f"{family.type} ({', '.join(labels)})" if labels else family.type
    return found


def test_metrics_in_cloudwatch() -> None:
    data = metric_data("p", Measures(*([0] * len(fields(Measures)))))
    assert {dimension["Name"] for one in data for dimension in one["Dimensions"]} == {"Deployment"}
    logged = [
        dead_letters.buried_record(Buried(), "n", "p", 0.0),
        webhooks.outcome_record(DeliveryOutcome(), "n", "p", 0.0),
    ]
    directives = [record["_aws"]["CloudWatchMetrics"][0] for record in logged]
    assert {str(directive["Dimensions"]) for directive in directives} == {"[['Deployment']]"}
    found = {one["MetricName"]: one["Unit"] for one in data}
    found |= {metric["Name"]: metric["Unit"] for directive in directives for metric in directive["Metrics"]}
    check_names("cloudwatch", found)
    assert dead_letters.NAMESPACE == webhooks.NAMESPACE == BacklogSettings().namespace == "InferenceEngine"


def test_the_log_of_the_backlog_function(written: Written) -> None:
    measures = {field.name for field in fields(Measures)}
    assert measures <= written.backlog_log.keys()
    check_json("backlog_log", [{name: one for name, one in written.backlog_log.items() if name not in measures}])


# --- how programs are told -----------------------------------------------------------------------------------------------


def test_parameters() -> None:
    pipeline = TERRAFORM / "inference_pipeline"
    [values] = [one.attributes["values"] for one in blocks(pipeline, "module") if one.labels == ("parameters",)]
    own = {
        name for block in blocks(pipeline, "locals") for name, text in block.attributes.items() if name == "settings"
    }
    assert own == {"settings"}
    [settings] = [
        block.attributes["settings"] for block in blocks(pipeline, "locals") if "settings" in block.attributes
    ]
    found = {f"settings/{name}" for name, _ in attributes(settings[1:-1])}
    found |= set(re.findall(r"(\w+) += ", values))
    check_names("parameters", found | {webhook_secret_name("prod").removeprefix("/inference-engine/prod/")})
    assert parameter_path("prod") == "/inference-engine/prod"


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, str] = {}
    kinds: dict[str, type[BaseSettings]] = {
        "library": Settings,
        "webhooks": WebhookSettings,
        "gateway": GatewaySettings,
        "backlog function": BacklogSettings,
    }
    for program, kind in kinds.items():
        for name, one in kind.model_fields.items():
            own = f"{kind.model_config['env_prefix']}{name.upper()}"
            found |= {str(variable): program for variable in getattr(one.validation_alias, "choices", [own])}
    monkeypatch.setenv("HTTP_SERVER_ADDRESS", "127.0.0.1:7")
    assert GatewaySettings().port == 7
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", "/cache")
    assert str(cache_folder()) == "/cache"
    others = {"HTTP_SERVER_ADDRESS": "gateway", "INFERENCE_ENGINE_CACHE": "local stack", KEY_VARIABLE: "command line"}
    check_names("variables", found | others)
