"""What docs/gateway says of the gateway, against its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from inference_engine.gateway import settings
from inference_engine.gateway.dispatch.flow_control import WaitOutcome
from inference_engine.gateway.http.problems import _ERRORS
from inference_engine.gateway.settings import GatewaySettings
from tests.support.project import DOCS, PROJECT

#: Settings whose defaults docs/explanation/flow-control.md tells.
NUMBERS_TOLD = {"max_bands", "max_concurrency", "no_consumer_seconds"}
INDEX = (DOCS / "gateway" / "index.md").read_text("utf-8")
FLOW = (DOCS / "explanation" / "flow-control.md").read_text("utf-8")


def raised() -> Iterator[tuple[int, str]]:
    """Status and kind of every problem that the code makes by name."""
    for path in sorted((PROJECT / "inference_engine" / "gateway").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Problem", "later"):
                status, kind = call.args[0], call.args[1]
                if isinstance(status, ast.Constant) and isinstance(kind, ast.Constant):
                    yield int(str(status.value)), str(kind.value)
    yield from ((status, kind) for _, status, kind in _ERRORS)
    yield from ((429, outcome.value) for outcome in (WaitOutcome.QUEUE_FULL, WaitOutcome.TTL))
    yield from ((503, outcome.value) for outcome in (WaitOutcome.NO_CONSUMER, WaitOutcome.SHUTTING_DOWN))


def test_every_problem_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", INDEX, re.MULTILINE)
    told = {(int(status), kind) for status, kinds in rows for kind in re.findall(r"`([a-z-]+)`", kinds)}
    assert told == set(raised())


def test_every_outcome_of_flow_control_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", FLOW, re.MULTILINE)) == {outcome.value for outcome in WaitOutcome}


def test_the_numbers_of_the_pages_are_the_defaults() -> None:
    defaults = GatewaySettings()
    told = re.findall(r"`([a-z_]+)` \(([0-9,]+)\)", FLOW)
    assert {name for name, _ in told} == NUMBERS_TOLD
    for name, written in told:
        assert getattr(defaults, name) == int(written.replace(",", "")), name
    assert f"`timeout_seconds`, {defaults.timeout_seconds:g} |" in INDEX
    assert f"-{settings.PRIORITY_MAX} to {settings.PRIORITY_MAX}" in INDEX


def test_every_other_name_of_a_setting_is_told() -> None:
    source = (PROJECT / "inference_engine" / "gateway" / "settings.py").read_text("utf-8")
    others = re.findall(r'_also\("([a-z_]+)", "([A-Z_]+)"\)', source)
    answering = {name for name, field in GatewaySettings.model_fields.items() if field.validation_alias is not None}
    assert {name for name, _ in others} == answering != set()
    for name, variable in others:
        row = next(line for line in INDEX.splitlines() if line.startswith("| `") and f"`{variable}`" in line)
        assert f"`{name}`" in row
