"""One word for one thing: words that the glossary retired stand nowhere, and no two classes have the same name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

import pytest

from tests.compatibility.wire import WIRE
from tests.support.project import PROJECT
from tests.support.words import WORD, forms, hits, retired, right_terms, text_files


class Allowed(NamedTuple):
    """Where a retired word is right: `pattern` in files by one of these names, in which `*` stands for anything."""

    files: str
    pattern: str
    reason: str


#: Files that name the words in order to find them.
ABOUT_WORDS = ("tests/docs/test_words.py", "tests/support/words.py")
#: Triton's own name for the class of a Python model; each model has one.
TRITONS = "TritonPythonModel"

#: Files that are read among others, of each kind one.
READ = {
    *("Makefile", "README.md", ".github/workflows/check.yml", "docs/index.md", "docs/explanation/autoscaling.svg"),
    *(
        "inference_engine/consumer/runner.py",
        "inference_engine/gateway/ui/columns.js",
        "tests/consumer/test_consumer.py",
    ),
    *("terraform/modules/alarms/variables.tf", "terraform/inference_pipeline/tests/names.tftest.hcl", "Dockerfile"),
}

ALLOWED = (
    Allowed("docs/glossary.md", r"\*\*\w+\*\*", "it retires them"),
    # --- names that cannot change ----------------------------------------------------------------------------------------
    Allowed(
        "inference_engine/operations/overview.py", r"\bhosts(?=: int = Field|=work\.holders)", "a field on the wire"
    ),
    Allowed("lambdas/dead_letters/handler.py", r"\bletters(?= = \[|=letters)|(?<==)letters\b", "a field on the wire"),
    Allowed("inference_engine/gateway/ui/columns.js", r"\brow\.hosts\b", "a field on the wire"),
    Allowed(
        "terraform/modules/policies/main.tf",
        r'(?<=")(SeeHosts|RingPlacement)(?=")',
        "names in policies that are attached: a new name changes the policy",
    ),
    # --- an alarm wakes a fleet from zero tasks ---------------------------------------------------------------------------
    Allowed(
        "terraform/* docs/reference/terraform.md",
        r"(?<![a-z])(wakes?|woken)(?![a-z])",
        "Terraform's alarm is named wake",
    ),
    Allowed("docs/howto/* terraform/*", r"-wake\b", "the name of that alarm"),
    Allowed(
        "benchmarks/simulation/scaling/* benchmarks/results/scaling.json docs/benchmarks/scaling.md *scaling_simulation.py",
        r"(?i)\b_?wakes?\b|\bwoke\b|\bwaking up\b|\bWAKE_SECONDS\b",
        "what that alarm does",
    ),
    # --- a host is a machine of a network, or its name --------------------------------------------------------------------
    Allowed("*", r"(?i)(?<![a-z])host(['’]?s)?[ _]names?(?![a-z])", "the name of a machine"),
    Allowed("*", r"\bHOST:PORT\b|\bhost:port\b|\b[Hh]ost and port\b", "an address"),
    Allowed("*", r"--(http-)?host\b|\bhttp_host\b", "option and parameter: the address to listen on"),
    Allowed("*", r"\b(BIND|INFERENCE_ENGINE_GATEWAY)_HOST\b|(…_|\{OWN\})HOST\b", "variables: the address to listen on"),
    Allowed("*", r"(?<=[\"`n])Host\b(?=: |`|\")|\bHost header\b", "the header of HTTP"),
    Allowed("*", r"\brepository host\b", "who serves the repository to its users"),
    Allowed("terraform/*", r"\b(UnH|H)ealthyHostCount\b|\bhostPort\b|\bHosted zone\b", "names of AWS"),
    Allowed("*webhook*", r"(?<![a-z])hosts?(?![a-z])", "a receiver is a machine of a network"),
    Allowed(
        "inference_engine/gateway/server.py inference_engine/gateway/settings.py inference_engine/gateway/http/*.py "
        "inference_engine/cli/gateway.py inference_engine/consumer/status_server.py tests/gateway/test_settings.py "
        "tests/gateway/http/*.py tests/packaging/test_containers.py tests/support/serving.py docs/gateway/*.md "
        "tests/compatibility/test_names_on_the_wire.py",
        r"\b_?host\b",
        "the address that a server listens on, or that a request names",
    ),
    # --- a delivery is one of a webhook -----------------------------------------------------------------------------------
    Allowed(
        "*webhook* inference_engine/labels.py inference_engine/errors.py inference_engine/settings.py "
        "inference_engine/aws/schema.py inference_engine/moved.py lambdas/README.md terraform/* docs/glossary.md "
        "docs/howto/runbook.md docs/architecture.md docs/reference/lambdas.md docs/reference/metrics.md "
        "docs/reference/stability.md docs/reference/terraform.md docs/reference/wire.md tests/compatibility/* "
        "tests/infra/gateway_traffic.py tests/test_public_face.py",
        r"(?<![A-Za-z])([Dd]elivery|[Dd]eliveries|DELIVERY)(?![a-z])",
        "files about webhooks",
    ),
    Allowed("*", r"\bFIFO (queue )?delivery logic\b", "the title of a page of AWS"),
    # --- letters of the alphabet ------------------------------------------------------------------------------------------
    Allowed("*", r"\bletters(, digits\b| and digits\b)", "what names may consist of"),
    Allowed("*", r"\b(begin|begins|beginning|begin and end) with a letter\b", "what names may begin with"),
    Allowed(
        "terraform/* docs/reference/terraform.md", r"(?i)\bletters of (the )?Availability Zones\b", "a zone has one"
    ),
    Allowed("terraform/examples/complete/*.tf", r"\bfor letter in\b|\{letter\}|, letter\)", "that of a zone"),
    Allowed("*/glyphs.py", r"(?<![a-z])letters?(?![a-z])", "it draws them"),
    Allowed("*.css", r"\bletter-spacing\b", "a property of CSS"),
)


@cache
def wire_names() -> re.Pattern[str]:
    """Names on the wire that have a retired word: of several words anywhere, of one word only in quotes or after a dot."""
    sections = (section for section in WIRE.values() if "names" in section)
    names = {one for section in sections for name in section["names"] for one in _names_in(name)}
    old = sorted(name for name in names if any(word.lower() in forms() for word in WORD.findall(name)))
    long = "|".join(name for name in old if "_" in name)
    short = "|".join(name for name in old if "_" not in name)
    return re.compile(rf"\b(?i:{long})\b|(?<=[\"`.])(?:{short})\b|\b(?:{short})(?=\.\d|\[\])")


def _names_in(name: str) -> Iterator[str]:
    yield from re.findall(r"\w+", name)
    setting = re.sub(r"^INFERENCE_ENGINE_(GATEWAY_)?", "", name)
    if "_" in setting:
        yield setting


def allowed_in(path: str) -> Iterator[re.Pattern[str]]:
    """What a file may have: terms of the glossary that contain a retired word, names on the wire, and what is listed above."""
    yield from right_terms()
    yield wire_names()
    yield from (re.compile(one.pattern) for one in ALLOWED if applies(one, path))


def applies(one: Allowed, path: str) -> bool:
    """Whether a file may have it."""
    return any(fnmatchcase(path, name) for name in one.files.split())


@cache
def texts() -> dict[str, str]:
    """What the project's files say, by their paths, with the path as the first line."""
    return {path: f"{path}\n{(PROJECT / path).read_text('utf-8')}" for path in text_files() if path not in ABOUT_WORDS}


def test_retired_words_are_written_nowhere() -> None:
    assert texts().keys() >= READ
    found = [
        f"{path}:{line - 1 or ' its name'}: {word!r}; say {forms()[word.lower()]!r}"
        for path, text in texts().items()
        for line, word in hits(text, allowed_in(path))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("one", ALLOWED, ids=lambda one: one.reason)
def test_nothing_is_allowed_that_no_file_needs(one: Allowed) -> None:
    for path, text in texts().items():
        if applies(one, path) and any(True for match in re.finditer(one.pattern, text) if any(hits(match[0], ()))):
            return
    pytest.fail("no file has it: remove it")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def ring(hosts: list[str]) -> None:", ["ring", "hosts"]),
        ("class LastHost:  # wakes it", ["Host", "wakes"]),
        ("log.info('%d letters', self._spelled)", ["letters", "spelled"]),
        ("A dead\n# letter, a dead_letter, DeadLetters, a\n# letter", ["letter"]),
        ("a string during which parties\nbring HOSTS", ["parties", "HOSTS"]),
        ("host_cache_seconds, rung_at, row.hosts, `hosts`, letters.0.label", []),
        ("The consumer's host name, and the letters, digits", []),
        ("the rung, woken and awake, a patient delivery", ["rung", "woken", "delivery"]),
    ],
)
def test_words_are_found(text: str, words: list[str]) -> None:
    assert [word for _, word in hits(text, allowed_in("inference_engine/consumer/runner.py"))] == words


def test_the_line_of_a_word_is_told() -> None:
    assert list(hits("one\n\ntwo glances\n", ())) == [(3, "glances")]


def test_the_glossary_retires_words() -> None:
    assert retired()["host"] == "holder"
    assert retired()["letter"] == "dead letter"
    assert {forms()[word] for word in ("rings", "rung", "ringing", "knocked", "woke")} == {"load request"}


def test_every_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for path, text in texts().items():
        if path.startswith(("inference_engine/", "inference_engine_demo/")) and path.endswith(".py"):
            for node in ast.walk(ast.parse(text.partition("\n")[2])):
                if isinstance(node, ast.ClassDef) and node.name != TRITONS:
                    places[node.name].append(path)
    assert places
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
