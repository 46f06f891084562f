"""The README's first lines of code, as a reader runs them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from inference_engine.settings import ENV_PREFIX, Settings

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


async def test_the_ten_lines_print_what_they_say(settings: Settings) -> None:
    [code] = re.findall(r"^## Ten lines\n\n```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    chosen = {
        ENV_PREFIX + name.upper(): str(value) for name, value in settings.model_dump(exclude_defaults=True).items()
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=os.environ | chosen, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    status, *results = printed.decode().splitlines()
    assert process.returncode == 0
    assert status in ("SUBMITTED", "IN_PROGRESS", "SUCCESS")
    assert results == ["{'answer': 42}", "{'answer': 43}"]
