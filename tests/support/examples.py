"""Examples of documentation pages, run against a live gateway.

Of a page's ```console blocks all commands with `curl` are run, in one shell, so that a variable of one can be used by the
next. The lines below a command are what it prints, `…` stands for anything. A ```python block is a program of its own; a
```text block right below it is what it prints. `http://127.0.0.1:8000` stands for the gateway's address.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The address that pages write.
ADDRESS = "http://127.0.0.1:8000"
#: What stands for anything in what an example prints.
ANYTHING = "…"
SECONDS = 60.0

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>console|python|text)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_MARK = "--- example"


@dataclass(frozen=True, slots=True)
class Example:
    """A command or a program of a page, with what it prints (None: the page does not say)."""

    kind: str
    code: str
    prints: str | None
    line: int


def examples(page: Path) -> list[Example]:
    """The examples of a page in their order, console commands without `curl` left out."""
    text = page.read_text("utf-8")
    found: list[Example] = []
    end = 0
    for block in _FENCE.finditer(text):
        code = textwrap.dedent(block["code"])
        line = text.count("\n", 0, block.start()) + 2
        match block["kind"]:
            case "console":
                found += (one for one in _commands(code, line) if re.search(r"\bcurl\b", one.code))
            case "python":
                found.append(Example("python", code, None, line))
            case "text" if found and found[-1].kind == "python" and not text[end : block.start()].strip():
                found[-1] = Example("python", found[-1].code, code, found[-1].line)
        end = block.end()
    return found


def run_page(page: Path, url: str, environment: Mapping[str, str] | None = None) -> int:
    """Run a page's examples against the gateway at `url`, and compare what they print; how many there were.

    Blocks: from a test that is a coroutine call it with `asyncio.to_thread`.
    """
    found = examples(page)
    values = {**os.environ, **(environment or {})}
    commands = [one for one in found if one.kind == "console"]
    for one, (code, printed) in zip(commands, _shell(commands, url, values), strict=True):
        assert code == 0, f"{page.name}:{one.line}: {one.code}\nended with {code}: {printed}"
        _compare(page, one, printed)
    for one in found:
        if one.kind == "python":
            _compare(page, one, _python(page, one, url, values))
    return len(found)


def prints(expected: str, printed: str) -> bool:
    """Whether a program printed what is written, where `…` stands for anything and white space is of no account."""
    parts = (re.escape("".join(part.split())) for part in expected.split(ANYTHING))
    return re.fullmatch(".*".join(parts), "".join(printed.split())) is not None


def _commands(block: str, line: int) -> Iterator[Example]:
    command: list[str] = []
    printed: list[str] = []
    begun = line
    more = False
    for number, text in enumerate([*block.splitlines(), "$ "], line):
        if more:
            command.append(text)
        elif text.startswith("$ "):
            if command:
                yield Example("console", "\n".join(command), "\n".join(printed) if printed else None, begun)
            command, printed, begun = [text[2:]], [], number
        else:
            printed.append(text)
            continue
        more = _goes_on("\n".join(command))


def _goes_on(command: str) -> bool:
    """Whether the shell would ask for another line: after a backslash, or within quotes."""
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def _shell(commands: Sequence[Example], url: str, environment: Mapping[str, str]) -> list[tuple[int, str]]:
    """Exit code and output of each command."""
    if not commands:
        return []
    script = "".join(f"{one.code.replace(ADDRESS, url)}\nprintf '\\n%s %s\\n' '{_MARK}' $?\n" for one in commands)
    done = subprocess.run(
        ["bash", "-o", "pipefail"],
        input=script,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
    ended = [(int(code), printed) for printed, code in zip(parts[::2], parts[1::2], strict=False)]
    assert len(ended) == len(commands), done.stdout + done.stderr
    return ended


def _python(page: Path, example: Example, url: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", example.code.replace(ADDRESS, url)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}:{example.line}: {done.stderr}"
    return done.stdout


def _compare(page: Path, example: Example, printed: str) -> None:
    if example.prints is not None:
        told = f"{page.name}:{example.line}: expected\n{example.prints}\nand got\n{printed}"
        assert prints(example.prints, printed), told
