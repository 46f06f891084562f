"""Writes the tables of docs/howto/costs.md from the numbers of the last benchmark: python docs/_cost_tables.py

A table stands between `<!-- costs: OPTIONS -->` and `<!-- end -->`; of the options of `benchmarks.costs`, `--spot` may be given.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "howto" / "costs.md"
sys.path.insert(0, str(DOCS.parent))

from benchmarks.costs import TRAFFIC, Task, report  # noqa: E402 - found once the project is on the path
from benchmarks.report import markdown_page  # noqa: E402

_MARKED = re.compile(r"(<!-- costs:(?: --spot (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables as the command prints them."""
    return _MARKED.sub(lambda marked: f"{marked[1]}{_table(float(marked[2] or 0))}{marked[3]}", page)


def _table(spot: float) -> str:
    page = markdown_page(report(TRAFFIC, Task(spot=spot)))
    return "".join(f"{line}\n" for line in page.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
