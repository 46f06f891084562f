"""Writes the tables of docs/reference/terraform.md and of every README.md below terraform/: python docs/_terraform_tables.py

In a page a table stands between `<!-- inputs: FOLDER -->` (or `outputs`, `resources`, and without a folder `modules`, `list of
modules`) and `<!-- end -->`, with FOLDER below terraform/; a README that names none means its own. What is read is a small part
of Terraform's language: blocks, their attributes, strings, heredocs, comments.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
TERRAFORM = DOCS.parent / "terraform"
PAGE = DOCS / "reference" / "terraform.md"

_MARKED = re.compile(
    r"(<!-- (inputs|outputs|resources|modules|list of modules)(?:: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL
)

#: What brackets do not count in: comments, heredocs, strings (with `${…}` and strings inside of that).
_OPAQUE = re.compile(
    r"""  (?:\#|//)[^\n]*
        | /\*.*?\*/
        | <<-?(?P<end>\w+)\n.*?\n[ \t]*(?P=end)\b
        | "(?:\\.|\$\{(?:[^}"]|"[^"]*")*\}|[^"\\])*"
    """,
    re.DOTALL | re.VERBOSE,
)
_TOKEN = re.compile(
    rf"(?P<opaque>{_OPAQUE.pattern})|(?P<bracket>[\[\](){{}}])|(?P<end_of_item>[\n,])", re.DOTALL | re.VERBOSE
)
_BLOCK = re.compile(r'^(\w+)((?:\s+"[^"]*")*)\s*\{', re.MULTILINE)
_ATTRIBUTE = re.compile(r"\s*([\w-]+)\s*=\s*(?!=)")
_HEREDOC = re.compile(r"<<-?(\w+)\n(.*?)\n[ \t]*\1\Z", re.DOTALL)
#: A line of a description that tells of one field of an object: its name, two spaces or more, what it is.
_FIELD = re.compile(r"(\w+) {2,}(\S.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block at the top of a file: `kind "label" … { body }`."""

    kind: str
    labels: tuple[str, ...]
    body: str

    @property
    def attributes(self) -> dict[str, str]:
        """Expressions by name, as they are written."""
        return dict(attributes(self.body))


def blocks(folder: Path, kind: str) -> list[Block]:
    """The blocks of a kind in a folder's files, in their order; variables.tf and the like stand alone."""
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.tf"))]
    return [block for text in texts for block in _blocks(text) if block.kind == kind]


def text_of(expression: str) -> str:
    """What a string or a heredoc says."""
    if heredoc := _HEREDOC.fullmatch(expression):
        return textwrap.dedent(heredoc[2])
    return expression.removeprefix('"').removesuffix('"').replace('\\"', '"')


def pages() -> list[Path]:
    """The pages with tables."""
    return [PAGE, *sorted(TERRAFORM.rglob("README.md"))]


def filled(path: Path) -> str:
    """The text of a page, with its tables as the .tf files say."""

    def table(marked: re.Match[str]) -> str:
        start, what, folder, end = marked.groups()
        return f"{start}{_table(what, TERRAFORM / folder if folder else path.parent)}{end}"

    return _MARKED.sub(table, path.read_text("utf-8"))


def _table(what: str, folder: Path) -> str:
    match what:
        case "modules":
            return _rows(("module", "is", "makes"), _modules())
        case "list of modules":
            return "".join(f"- [`{module.name}`](modules/{module.name}): {purpose(module)}\n" for module in _folders())
        case "inputs":
            return _rows(("name", "description", "type", "default", "required"), inputs(folder))
        case "resources":
            return _rows(("name", "kind"), _resources(folder))
    outputs = blocks(folder, "output")
    return _rows(("name", "description"), ((f"`{one.labels[0]}`", _description(one)) for one in outputs))


def purpose(folder: Path) -> str:
    """What a module is for: the first paragraph of its README, on one line."""
    return " ".join((folder / "README.md").read_text("utf-8").split("\n\n")[1].split())


def _folders() -> list[Path]:
    return sorted(path for path in (TERRAFORM / "modules").iterdir() if path.is_dir())


def _modules() -> Iterator[tuple[str, ...]]:
    for folder in _folders():
        makes = dict.fromkeys(block.labels[0] for block in blocks(folder, "resource"))
        calls = (text_of(block.attributes["source"]) for block in blocks(folder, "module"))
        yield f"`{folder.name}`", purpose(folder), _names([*makes, *calls])


def _resources(folder: Path) -> Iterator[tuple[str, ...]]:
    """The resources of a folder, the modules that it calls, and what it looks up."""
    for resource in blocks(folder, "resource"):
        yield f"`{'.'.join(resource.labels)}`", "resource"
    for module in blocks(folder, "module"):
        source = text_of(module.attributes["source"])
        yield f"`module.{module.labels[0]}`", f"module [`{source}`]({source})"
    for data in blocks(folder, "data"):
        yield f"`data.{'.'.join(data.labels)}`", "data source"


def inputs(folder: Path) -> Iterator[tuple[str, ...]]:
    """Name, description, type, default of each variable of a folder and whether it is required; after an object its fields'."""
    for variable in blocks(folder, "variable"):
        name, attributes = variable.labels[0], variable.attributes
        kind, default = attributes["type"], attributes.get("default")
        summary, fields = _parts(text_of(attributes["description"]))
        if not kind.startswith("object("):
            yield f"`{name}`", summary, _code(kind), *_default(default)
            continue
        yield f"`{name}`", summary, "`object`", *_default(default)
        for field, (field_kind, field_default) in _object(kind).items():
            yield f"`{name}.{field}`", fields.get(field, ""), _code(field_kind), *_default(field_default)


def _default(expression: str | None) -> tuple[str, str]:
    return (_code(expression), "no") if expression is not None else ("", "yes")


def _parts(description: str) -> tuple[str, dict[str, str]]:
    """A description without what it tells of fields, and that by field."""
    summary: list[str] = []
    fields: dict[str, str] = {}
    field = ""
    for line in description.splitlines():
        if found := _FIELD.fullmatch(line):
            field = found[1]
            fields[field] = found[2]
        elif field and line.startswith(" "):
            fields[field] += f" {line.strip()}"
        elif line.strip():
            summary.append(line.strip())
    return " ".join(summary), fields


def _object(kind: str) -> dict[str, tuple[str, str | None]]:
    """Type and default of each field of `object({…})`; '' is a default of null."""
    inner = kind.removeprefix("object(").removesuffix(")").strip()
    found: dict[str, tuple[str, str | None]] = {}
    for name, expression in attributes(inner[1:-1]):
        if expression.startswith("optional("):
            of, _, default = _split(expression.removeprefix("optional(").removesuffix(")"))
            found[name] = of, default or "null"
        else:
            found[name] = expression, None
    return found


def _split(arguments: str) -> tuple[str, str, str]:
    """The first argument, the comma, and the others."""
    depth = 0
    for index, character in enumerate(arguments):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(character, 0)
        if character == "," and not depth:
            return arguments[:index].strip(), ",", arguments[index + 1 :].strip()
    return arguments.strip(), "", ""


def _description(block: Block) -> str:
    return " ".join(text_of(block.attributes["description"]).split())


def _code(expression: str) -> str:
    """An expression on one line; of nested objects only that they are some."""
    short = re.sub(r"object\(\{.*?\}\)", "object", expression, flags=re.DOTALL)
    return f"`{' '.join(short.split())}`"


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rows(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _blocks(text: str) -> Iterator[Block]:
    position = 0
    while found := _BLOCK.search(text, position):
        end = _closing(text, found.end() - 1)
        labels = tuple(re.findall(r'"([^"]*)"', found[2]))
        yield Block(found[1], labels, text[found.end() : end])
        position = end + 1


def attributes(body: str) -> Iterator[tuple[str, str]]:
    """Names and expressions at the top of a body; blocks inside are passed over."""
    position = 0
    while position < len(body):
        if found := _ATTRIBUTE.match(body, position):
            end = _end_of_item(body, found.end())
            yield found[1], _without_comments(body[found.end() : end]).strip().rstrip(",")
        else:
            end = _end_of_item(body, position)
        position = end + 1


def _without_comments(text: str) -> str:
    return _TOKEN.sub(lambda token: "" if token[0].startswith(("#", "/")) else token[0], text)


def _closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token["bracket"]:
            depth += 1 if token["bracket"] in "[({" else -1
            if not depth:
                return token.start()
    raise ValueError(f"a bracket is never closed: {text[start : start + 60]!r}")


def _end_of_item(text: str, start: int) -> int:
    """Where the line ends, or a comma, brackets, strings and heredocs that are opened before it included."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token["bracket"]:
            depth += 1 if token["bracket"] in "[({" else -1
        elif token["end_of_item"] and not depth:
            return token.start()
    return len(text)


if __name__ == "__main__":
    for page in pages():
        page.write_text(filled(page), "utf-8")
