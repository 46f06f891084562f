"""What is read of a page's examples, and when they count as right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import examples, prints, run_page

PAGE = """
# A page

```console
$ inference-engine gateway
listening
$ id=$(printf '%s' curl)
$ echo "$id" \\
    two
curl two
$ echo 'curl
three'
curl
three
```

* in a list:

  ```python
  print("http://127.0.0.1:8000/x")
  ```

  ```text
  http://…/x
  ```

```python
assert True
```

Some words.

```text
not what it prints
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf-8")
    return path


def test_what_is_an_example(page: Path) -> None:
    found = [(one.kind, one.code, one.prints, one.line) for one in examples(page)]
    assert found == [
        ("console", "id=$(printf '%s' curl)", None, 7),
        ("console", "echo 'curl\nthree'", "curl\nthree", 11),
        ("python", 'print("http://127.0.0.1:8000/x")\n', "http://…/x\n", 20),
        ("python", "assert True\n", None, 28),
    ]


@pytest.mark.integration
def test_examples_are_run_and_compared(page: Path) -> None:
    assert run_page(page, "http://127.0.0.1:1") == 4


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("```console\n$ true curl\nsomething\n```", "expected\nsomething"),
        ("```console\n$ false curl\n```", "ended with 1"),
        ("```console\n$ x=$(false curl) && echo $x\n```", "ended with 1"),
        ("```python\nraise SystemExit('no')\n```", "no"),
        ("```python\nprint(1)\n```\n```text\n2\n```", "expected\n2"),
    ],
)
@pytest.mark.integration
def test_examples_that_are_wrong_are_told(block: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(block + "\n", "utf-8")
    with pytest.raises(AssertionError, match=told):
        run_page(path, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("expected", "printed", "right"),
    [
        ('{"id": "…"}', '{"id": "a-b"}\n', True),
        ('{"id": "…"}', '{"id": 5}', False),
        ("a\nb", "a b", True),
        ("a…", "a", True),
        ("…", "", True),
        ("a.c", "abc", False),
        ('{"a": 1}', '{"a":1}', True),
    ],
)
def test_what_counts_as_the_same(expected: str, printed: str, right: bool) -> None:
    assert prints(expected, printed) is right
