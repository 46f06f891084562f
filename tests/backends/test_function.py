"""A function that cannot be called for a job is told so before there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_engine.backends.base import Work
from inference_engine.backends.function import FunctionBackend
from inference_engine.errors import SettingsError


def takes_two(body: Any, message_id: str) -> Any:
    return body


def takes_label(body: Any, message_id: str, label: str) -> Any:
    return label


def takes_all(*arguments: Any, **named: Any) -> Any:
    return len(arguments) + len(named)


async def takes_a_default(body: Any, message_id: str, extra: int = 1) -> Any:
    return extra


@pytest.mark.parametrize(
    ("function", "result"), [(takes_two, "body"), (takes_label, "resnet50"), (takes_all, 2), (takes_a_default, 1)]
)
async def test_functions_that_take_a_job(function: Callable[..., Any], result: Any) -> None:
    backend = FunctionBackend(function)
    assert await backend.infer(Work("id", "resnet50", "body")) == result
    await backend.close()


@pytest.mark.parametrize("function", [lambda: 1, lambda body: body, lambda body, message_id, more: body])
def test_functions_that_do_not(function: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match=r"compute_result\(body, message_id\)"):
        FunctionBackend(function)
