"""What the documentation says of code, Terraform and commands, against those."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import Metric

from docs import _cost_tables, _drawings, _terraform_tables
from docs._terraform_tables import TERRAFORM, blocks
from inference_engine.cli import build_parser
from inference_engine.consumer.metrics import ConsumerMetrics
from inference_engine.deployment import Deployment
from inference_engine.gateway.apis.metrics import GatewayMetrics
from inference_engine.gateway.dispatch.service import Service
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.operations.backlog import LabelWork, Measures
from inference_engine.operations.scaling import metric_data
from inference_engine.settings import Settings
from lambdas.backlog_metrics.handler import _label_record
from lambdas.dead_letters.handler import NAMESPACE
from tests.support.project import DOCS

HOWTO = DOCS / "howto"
#: Pages that tell people what to type.
PAGES = sorted(page for folder in (HOWTO, DOCS / "gateway") for page in folder.glob("*.md"))
RUNBOOK = (HOWTO / "runbook.md").read_text("utf-8")
METRICS = (DOCS / "reference" / "metrics.md").read_text("utf-8")

#: Stacks, modules and the example.
TERRAFORM_FOLDERS = sorted({path.parent for path in TERRAFORM.rglob("variables.tf")})

#: What ends a command in a line of the shell.
SHELL_OPERATORS = ("|", "||", "&", "&&", ";", "<", ">", ">>")


# --- tables that are made ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", _terraform_tables.pages(), ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_the_tables_of_terraform_are_what_the_files_say(page: Path) -> None:
    assert _terraform_tables.filled(page) == page.read_text("utf-8"), "run: python docs/_terraform_tables.py"


def test_every_input_and_output_of_a_stack_is_in_the_reference() -> None:
    page = _terraform_tables.PAGE.read_text("utf-8")
    for stack in ("endpoints", "inference_pipeline"):
        for kind in ("variable", "output"):
            names = re.findall(
                rf'^{kind} "(\w+)"', (TERRAFORM / stack / f"{kind}s.tf").read_text("utf-8"), re.MULTILINE
            )
            assert [name for name in names if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("folder", TERRAFORM_FOLDERS, ids=lambda folder: folder.name)
def test_every_folder_of_terraform_has_its_own_tables(folder: Path) -> None:
    readme = (folder / "README.md").read_text("utf-8")
    missing = [name for name in ("inputs", "outputs", "resources") if f"<!-- {name} -->\n" not in readme]
    assert missing == []
    described = {row[0]: row[1] for row in _terraform_tables.inputs(folder)}
    assert [name for name, description in described.items() if not description] == []


def test_the_tables_of_costs_are_what_the_command_prints() -> None:
    page = _cost_tables.PAGE.read_text("utf-8")
    assert _cost_tables.filled(page) == page, "run: python docs/_cost_tables.py"
    assert page.count("| 100 × 24 | bulk |") == 2


def test_the_drawings_are_what_the_command_draws() -> None:
    for name, draw in _drawings.DRAWINGS.items():
        assert (_drawings.FOLDER / name).read_text("utf-8") == draw().svg(), "run: python docs/_drawings.py"
    shown = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"\]\((?:\w+/)*([\w-]+\.svg)\)", page.read_text("utf-8"))
    }
    assert set(_drawings.DRAWINGS) <= shown


def test_a_line_that_does_not_fit_its_box_is_told() -> None:
    with pytest.raises(ValueError, match="'a long line' does not fit a box of 40"):
        _drawings.Drawing("x", 100, 100).box(0, 0, 40, "a long line")


HCL = """
# variable "not_this" { type = string }
variable "plain" {
  description = "Says \\"{\\", and ${join("}", [1])}." // }
  type        = list(string)
  default = [
    "a", # one
    "b",
  ]

  validation {
    condition     = length(var.plain) > 0
    error_message = "}"
  }
}

variable "rich" {
  description = <<-EOT
    Two things.

    size  how large it is; none by
          default
    kind  what it is }
  EOT
  type = object({
    size = optional(number, 3)
    kind = string
    more = optional(map(object({ a = string })), {})
  })
  default = {}
}

variable "short" {
  description = <<-EOT
    One line.

    a  the first
    b  the second
  EOT
  type        = object({ a = list(string), b = optional(number, 1) })
}
"""


def test_what_is_read_of_terraforms_language(tmp_path: Path) -> None:
    (tmp_path / "variables.tf").write_text(HCL, "utf-8")
    plain, rich, _ = blocks(tmp_path, "variable")
    assert plain.labels == ("plain",)
    assert list(plain.attributes) == ["description", "type", "default"]
    assert plain.attributes["type"] == "list(string)"
    rows = list(_terraform_tables.inputs(tmp_path))
    assert rows == [
        ("`plain`", 'Says "{", and ${join("}", [1])}.', "`list(string)`", '`[ "a", "b", ]`', "no"),
        ("`rich`", "Two things.", "`object`", "`{}`", "no"),
        ("`rich.size`", "how large it is; none by default", "`number`", "`3`", "no"),
        ("`rich.kind`", "what it is }", "`string`", "", "yes"),
        ("`rich.more`", "", "`map(object)`", "`{}`", "no"),
        ("`short`", "One line.", "`object`", "", "yes"),
        ("`short.a`", "the first", "`list(string)`", "", "yes"),
        ("`short.b`", "the second", "`number`", "`1`", "no"),
    ]
    assert rich.kind == "variable"


def test_a_block_that_is_never_closed_is_told(tmp_path: Path) -> None:
    (tmp_path / "variables.tf").write_text('variable "open" {\n  type = string\n', "utf-8")
    with pytest.raises(ValueError, match="never closed"):
        blocks(tmp_path, "variable")


# --- alarms, metrics -----------------------------------------------------------------------------------------------------


def alarms() -> set[str]:
    """The sections of the runbook that alarms name: `#section` in a description, or the key of a map of alarms."""
    module = TERRAFORM / "modules" / "alarms"
    maps = {name: value for local in blocks(module, "locals") for name, value in local.attributes.items()}
    named: set[str] = set()
    for alarm in blocks(module, "resource"):
        section = alarm.attributes["alarm_description"].rpartition("#")[2].removesuffix('"')
        if section == "${each.key}":
            by_name = maps[alarm.attributes["for_each"].removeprefix("local.")]
            named |= {name for name, _ in _terraform_tables.attributes(by_name[1:-1])}
        else:
            named.add(section)
    return named


def test_every_alarm_has_its_section_in_the_runbook_and_every_section_its_alarm() -> None:
    sections = re.findall(r"^## ([a-z-]+)$", RUNBOOK, re.MULTILINE)
    assert {"dead-letters", "no-consumer", "lambda-errors"} <= alarms()
    assert set(sections) == alarms()
    assert len(set(sections)) == len(sections)


def test_every_section_of_an_alarm_answers_the_same_questions() -> None:
    for section in re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        if re.fullmatch(r"[a-z-]+", name):
            asked = [question for question in ("Means", "Users notice", "Look", "Do") if f"**{question}.**" not in text]
            assert asked == [], name


def test_every_metric_that_is_published_is_described_with_its_unit() -> None:
    published = {one["MetricName"]: one["Unit"] for one in metric_data("x", Measures(*([0] * len(fields(Measures)))))}
    described = dict(re.findall(r"^\| `(\w+)` \| (Seconds|Count) \|", METRICS, re.MULTILINE))
    logged = ("DeadLetters", "DeadLettersFailed", "WebhooksDelivered", "WebhooksFailed")
    assert described == published | dict.fromkeys(logged, "Count")
    assert f"Namespace `{NAMESPACE}`" in METRICS


def test_every_field_of_the_backlog_record_is_described() -> None:
    record = _label_record(LabelWork("resnet50", oldest_at=0.0), 1.0, 2.0)
    assert [name for name in record if f"`.{name}`" not in METRICS and f"labels.0.{name}`" not in METRICS] == []


def test_every_metric_of_a_consumer_and_of_the_gateway_is_described() -> None:
    gateway = GatewayMetrics(Service(Deployment.for_producer(Settings(), threads=True), GatewaySettings()))
    exposed: list[Metric] = [*ConsumerMetrics().registry.collect(), *gateway.registry.collect()]
    names = [f"{one.name}_total" if one.type == "counter" else one.name for one in exposed]
    assert names
    assert [name for name in names if not re.search(rf"`{name}[`{{]", METRICS)] == []


# --- commands ------------------------------------------------------------------------------------------------------------


def console_lines(page: Path) -> Iterator[str]:
    """The commands of a page's console blocks, those over several lines in one."""
    for block in re.findall(r"^\s*```console\n(.*?)^\s*```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.lstrip().startswith("$ "):
                yield line.strip().removeprefix("$ ")


def own_commands(line: str) -> Iterator[list[str]]:
    """Arguments of each `inference-engine …` in a line."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    command: list[str] = []
    for word in (*reader, ";"):
        if word not in SHELL_OPERATORS:
            command.append(word)
            continue
        if command[:1] == ["inference-engine"]:
            yield command[1:]
        command = []


COMMANDS = [
    pytest.param(command, id=f"{page.stem}: {' '.join(command)}"[:80])
    for page in PAGES
    for line in console_lines(page)
    if line.startswith("inference-engine ")
    for command in own_commands(line)
]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 15
    line = "inference-engine dlq collect && inference-engine dlq list --json | jq '.letters[]' # all; of them"
    assert list(own_commands(line)) == [["dlq", "collect"], ["dlq", "list", "--json"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_pages_parse(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        build_parser().parse_args(command)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (DOCS.parent / "Makefile").read_text("utf-8"), re.MULTILINE))
    used = {line.split()[1] for line in console_lines(page) if line.startswith("make ")}
    assert used <= targets


# --- for those who carry it on -------------------------------------------------------------------------------------------


def test_files_that_contributors_are_sent_to_exist() -> None:
    pages = [DOCS.parent / "CONTRIBUTING.md", *(DOCS / "decisions").glob("*.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+(?:/|\.(?:py|md|toml|yaml)))`", text))
    assert {"inference_engine/", "fleet/placement.py", "pyproject.toml"} <= named
    places = (DOCS.parent, DOCS.parent / "inference_engine")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_words_of_the_glossary_are_explained_once() -> None:
    words = re.findall(r"^\| ([a-z][\w -]*) \| ", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    words = [word for word in words if word != "word"]
    assert {"label", "slot", "load request", "holder", "attempt", "dead letter"} <= set(words)
    assert len(words) == len(set(words))


def test_targets_that_contributors_and_workflows_use_exist() -> None:
    root = DOCS.parent
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    workflows = "".join(path.read_text("utf-8") for path in (root / ".github" / "workflows").glob("*.yml"))
    used = set(re.findall(r"`make ([a-z0-9-]+)", (root / "CONTRIBUTING.md").read_text("utf-8")))
    used |= set(re.findall(r"run: make ([a-z0-9-]+)", workflows))
    assert {"check", "test", "acceptance", "e2e"} <= used
    assert used <= targets
