"""Words that the glossary retired, and where a text has them."""

from __future__ import annotations

import os
import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from tests.support.project import DOCS, PROJECT

#: How names of files with text of the project's own end.
TEXT = (
    *(".css", ".hcl", ".html", ".importlinter", ".js", ".json", ".md", ".py", ".svg", ".tf", ".toml", ".txt"),
    *(".yaml", ".yml", "Dockerfile", "Makefile"),
)
#: Folders of the project whose names begin with a dot.
HIDDEN = (".github",)
#: Forms that do not follow from a word by the rules of `_forms`.
IRREGULAR = {"ring": ("rang", "rung"), "wake": ("woke", "woken")}
#: A word of prose or a part of an identifier: `in_flight`, `JobRecord`, `HTTPServer`.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: What may stand between the words of a term: `dead_letter`, `DeadLetter`, or a line's end within a comment.
BETWEEN = r"[\s_\-#*|/]*"
#: The retired words in bold, in the last column of a row whose first column has the right word.
ROW = re.compile(r"^\| (?P<right>[^|]+) \|.*\|(?P<others>[^|]*)\|$", re.MULTILINE)


@cache
def retired() -> dict[str, str]:
    """The retired words of the glossary, each with the right one."""
    rows = ROW.finditer((DOCS / "glossary.md").read_text("utf-8"))
    return {word: row["right"] for row in rows for word in re.findall(r"\*\*(\w+)\*\*", row["others"])}


@cache
def forms() -> dict[str, str]:
    """All forms of the retired words, each with the right word."""
    return {form: right for word, right in retired().items() for form in (*_forms(word), *IRREGULAR.get(word, ()))}


def _forms(word: str) -> Iterator[str]:
    stem = word.removesuffix("e")
    yield from (word, f"{stem}ed", f"{stem}ing")
    yield f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


@cache
def right_terms() -> tuple[re.Pattern[str], ...]:
    """Right terms that have a retired word in them: `dead letter`."""
    terms = {right for word, right in retired().items() if word in right.split()}
    return tuple(re.compile(f"(?i){BETWEEN.join(term.split())}s?") for term in sorted(terms))


def text_files() -> Iterator[str]:
    """The project's files with text, by their paths."""
    lists = (PROJECT / folder / ".gitignore" for folder in ("", "terraform"))
    ignored = [line.strip("/") for path in lists for line in path.read_text("utf-8").split()]

    def ours(name: str) -> bool:
        return not any(fnmatchcase(name, pattern) for pattern in ignored)

    for folder, folders, files in os.walk(PROJECT):
        folders[:] = [name for name in folders if ours(name) and (name[0] != "." or name in HIDDEN)]
        for name in filter(ours, files):
            if name.endswith(TEXT):
                yield Path(folder, name).relative_to(PROJECT).as_posix()


def hits(text: str, allowed: Iterable[re.Pattern[str]]) -> Iterator[tuple[int, str]]:
    """Retired words with the numbers of their lines, apart from those inside a match of a pattern that is allowed."""
    if not any(word.lower() in forms() for word in set(WORD.findall(text))):
        return
    for pattern in allowed:
        text = pattern.sub(_blank, text)
    ends = [match.start() for match in re.finditer("\n", text)]
    for match in WORD.finditer(text):
        if match[0].lower() in forms():
            yield bisect(ends, match.start()) + 1, match[0]


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])
