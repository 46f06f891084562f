"""The documentation is built from the wheel, beside nothing but what the extra `docs` brings; a warning is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.installations import Wheel, install
from tests.support.project import DOCS

pytestmark = pytest.mark.acceptance


def test_the_documentation_is_built_without_a_warning(wheel: Wheel, tmp_path: Path) -> None:
    docs = install(wheel, "docs", tmp_path / "docs")
    built = tmp_path / "html"
    options = ("-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "doctrees")
    docs.run(docs.python, "-P", "-m", "sphinx", *options, DOCS, built)
    assert "inference_engine.Producer.post_many" in (built / "reference" / "producer.html").read_text("utf-8")
