"""The gateway's description of itself: examples of everything that is sent and answered, each as its schema says."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from inference_engine import Settings
from inference_engine.deployment import Deployment
from inference_engine.gateway.apis.open_inference import request, schema
from inference_engine.gateway.app import create_app
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.settings import GatewaySettings

DESCRIBED = create_app(Service(Deployment.for_producer(Settings()), GatewaySettings())).openapi()


def contents() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and description of the body of every request and of every good answer, in each of its media types."""
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            sent = operation.get("requestBody", {}).get("content", {})
            yield from ((f"{method} {path} {kind}", one) for kind, one in sent.items())
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    assert answer["content"], f"{method} {path} has answers, which are not described"
                    yield from ((f"{method} {path} {status} {kind}", one) for kind, one in answer["content"].items())


def examples(described: Mapping[str, Any]) -> list[Any]:
    """Examples that stand beside a schema, or in it."""
    found = described.get("examples", [])
    beside = [one["value"] for one in found.values()] if isinstance(found, dict) else found
    return [*beside, described["example"]] if "example" in described else list(beside)


def made_of(part: Mapping[str, Any]) -> list[Any]:
    """The examples of a schema: its own, or one that is made of those of its fields or elements; none where one has none."""
    if "$ref" in part:
        return made_of(DESCRIBED["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    if own := examples(part):
        return own
    if "properties" in part:
        fields = {name: made_of(field) for name, field in part["properties"].items()}
        # A field that may be left out is left out where it has no example.
        needed = set(part.get("required", [])) or fields.keys()
        whole = all(fields[name] for name in needed)
        return [{name: found[0] for name, found in fields.items() if found}] if whole else []
    if "items" in part:
        return [[one] for one in made_of(part["items"])]
    return []


CONTENTS = dict(contents())


def test_all_bodies_are_looked_at() -> None:
    assert len(CONTENTS) > 40
    assert "post /infer application/json" in CONTENTS
    assert "get /metrics 200 text/plain; version=0.0.4; charset=utf-8" in CONTENTS


@pytest.mark.parametrize("name", CONTENTS)
def test_every_body_has_an_example_that_is_as_its_schema_says(name: str) -> None:
    content = CONTENTS[name]
    found = examples(content) or made_of(content["schema"])
    assert found
    for example in found:
        if name.endswith("application/json"):
            whole = {"components": DESCRIBED["components"], **content["schema"]}
            jsonschema_rs.Draft202012Validator(whole).validate(example)
        else:
            assert isinstance(example, str)


def test_the_description_is_made_once() -> None:
    app = create_app(Service(Deployment.for_producer(Settings()), GatewaySettings()))
    first = app.openapi()
    before = copy.deepcopy(first)
    (parts := first["paths"]["/infer"]["post"]["responses"]).pop("504")
    assert app.openapi() is first
    assert app.openapi()["paths"]["/infer"]["post"]["responses"] is parts
    assert before == DESCRIBED


def test_the_binary_examples_are_what_is_read_and_written() -> None:
    head, tail = schema.BINARY_REQUEST_EXAMPLE
    asked = request.read("m", f"{head}{tail}".encode(), str(len(head)))
    assert asked.inputs["X"].tolist() == [list(b"abcd")]
    assert asked.outputs == (request.RequestedOutput("Y", binary=True),)
