"""Writes the tables of docs/reference/wire.md from tests/compatibility/wire.toml: python docs/_wire_tables.py

They stand between `<!-- wire -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PAGE = DOCS / "reference" / "wire.md"
LIST = DOCS.parent / "tests" / "compatibility" / "wire.toml"

_MARKED = re.compile(r"(<!-- (wire|old words) -->\n).*?(<!-- end -->)", re.DOTALL)
#: What the first column of a table is about, where it is not a name.
_EXAMPLES = ("label", "queue", "group", "cell")


def filled(page: str) -> str:
    """The page with its tables as the list says."""
    sections = tomllib.loads(LIST.read_text("utf-8"))
    made = {"wire": "\n".join(_sections(sections)), "old words": _old_words(sections)}
    return _MARKED.sub(lambda marked: f"{marked[1]}{made[marked[2]]}{marked[3]}", page)


def _sections(sections: dict[str, Any]) -> Iterator[str]:
    for key, section in sections.items():
        if key == "examples":
            rows = (tuple(f"`{example[name]}`" for name in _EXAMPLES) for example in section)
            yield "For example, with the prefix `p`, 4 lanes, the deduplication id `d` and 8 cells:\n"
            yield _table(_EXAMPLES, rows)
            continue
        yield f"## {section['title']}\n"
        if "about" in section:
            yield f"{section['about'].strip()}\n"
        if "pk" in section:
            yield f"Partition key `pk`: `{section['pk']}`; sort key `sk`: `{section['sk']}`.\n"
        yield _table(("name", "type", "meaning"), (_row(name, *row) for name, row in section["names"].items()))


def _row(name: str, kind: str, meaning: str, today: str = "") -> tuple[str, ...]:
    return f"`{name}`", kind, f"{meaning} ({today})" if meaning and today else meaning or today


def _old_words(sections: dict[str, Any]) -> str:
    rows = [
        (f"`{name}`", section["title"], row[2])
        for section in sections.values()
        if isinstance(section, dict)
        for name, row in section["names"].items()
        if len(row) > 2
    ]
    return _table(("name", "of", "today"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
