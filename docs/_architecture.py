"""Writes the tree and the counts of docs/architecture.md from the code: python docs/_architecture.py

They stand between `<!-- tree -->`, `<!-- counts -->` and `<!-- end -->`. With `--counts`, prints the counts alone.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
PACKAGE = "inference_engine"
#: A module of fewer lines that only one other imports is a question: does it belong to that one?
SMALL_LINES = 40
#: Files in which Triton's own server runs code: they are copied into a model's folder, and nothing imports them.
_APART = ("triton_backends", "triton_text_model")

_MARKED = re.compile(r"(<!-- (tree|counts) -->\n).*?(<!-- end -->)", re.DOTALL)


class Layout:
    """The package's modules, what each is, and who imports whom. Imports for type checkers alone do not count."""

    def __init__(self) -> None:
        self._graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
        self.modules = sorted(module for module in self._graph.modules if not any(part in module for part in _APART))

    def imports(self) -> Iterator[tuple[str, str]]:
        """Every import of one module by another: who imports, and what."""
        for module in self.modules:
            for imported in sorted(self._graph.find_modules_directly_imported_by(module)):
                yield module, imported

    def circle(self) -> list[str]:
        """Modules that import each other in a circle; none where there is no circle."""
        graph: dict[str, set[str]] = {module: set() for module in self.modules}
        for module, imported in self.imports():
            graph[module].add(imported)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return list(error.args[1])
        return []

    def upwards(self) -> list[tuple[str, str]]:
        """Imports of a higher layer, or of another part of the same layer, by the order in `.importlinter`."""
        places = _places()
        found = []
        for module, imported in self.imports():
            here, there = _part(module), _part(imported)
            if here != there and here in places and there in places and places[there] <= places[here]:
                found.append((module, imported))
        return found

    def small(self) -> list[str]:
        """Modules of fewer than SMALL_LINES lines that exactly one module imports."""
        importers: dict[str, set[str]] = {}
        for module, imported in self.imports():
            importers.setdefault(imported, set()).add(module)
        return [
            module
            for module in self.modules
            if len(importers.get(module, ())) == 1 and _file(module).stem[0] != "_" and lines(module) < SMALL_LINES
        ]

    def rooms(self, package: str = PACKAGE) -> list[str]:
        """The modules and packages directly inside a package."""
        depth = package.count(".") + 1
        return [one for one in self.modules if one.startswith(f"{package}.") and one.count(".") == depth]


def lines(module: str) -> int:
    """How many lines a module has."""
    return len(_file(module).read_text("utf-8").splitlines())


def counts(layout: Layout) -> list[tuple[str, int]]:
    """What is counted, and how many there are."""
    return [
        ("modules", len(layout.modules)),
        ("imports of one module by another", sum(1 for _ in layout.imports())),
        ("circles of imports", int(bool(layout.circle()))),
        ("imports of a higher layer", len(layout.upwards())),
        ("rooms of the package's own level", len(layout.rooms())),
        ("rooms of the gateway's level", len(layout.rooms(f"{PACKAGE}.gateway"))),
        (f"modules under {SMALL_LINES} lines with one importer", len(layout.small())),
        ("modules of more than 350 lines", sum(lines(module) > 350 for module in layout.modules)),
    ]


def filled(page: str, layout: Layout) -> str:
    """The page with its tree and its counts as the code has them."""
    table = ["| what | how many |", "|---|--:|", *(f"| {what} | {number} |" for what, number in counts(layout))]
    made = {"tree": "\n".join(("```text", *_tree(layout, PACKAGE, 0), "```")), "counts": "\n".join(table)}
    return _MARKED.sub(lambda marked: f"{marked[1]}{made[marked[2]]}\n{marked[3]}", page)


def _tree(layout: Layout, package: str, depth: int) -> Iterator[str]:
    for room in layout.rooms(package):
        inside = layout.rooms(room)
        name = room.rpartition(".")[2]
        label = f"{'  ' * depth}{name}{'/' if inside else ''}"
        yield f"{label:<26} {purpose(room)}".rstrip()
        yield from _tree(layout, room, depth + 1)


def purpose(module: str) -> str:
    """The first sentence of a module's docstring, without its end."""
    text = ast.get_docstring(ast.parse(_file(module).read_text("utf-8"))) or ""
    return re.split(r"\.\s|\.$", " ".join(text.split("\n\n")[0].split()))[0]


def _places() -> dict[str, int]:
    """Each part of the package with its layer, 0 the highest."""
    parser = configparser.ConfigParser()
    parser.read(PROJECT / ".importlinter")
    layers = parser["importlinter:contract:layers"]["layers"].split("\n")
    rows = [[part.strip() for part in layer.split("|")] for layer in layers if layer.strip()]
    return {part: place for place, row in enumerate(rows) for part in row}


def _part(module: str) -> str:
    """The part of the package that a module belongs to: the first two names of its path."""
    return ".".join(module.split(".")[:2])


def _file(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


if __name__ == "__main__":
    found = Layout()
    if "--counts" in sys.argv:
        for what, number in counts(found):
            print(f"{number:6} {what}")
        for one in (*found.upwards(), *((module, "") for module in found.small())):
            print("       ", *one)
    else:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), found), "utf-8")
