"""A job as the status page shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inference_engine.gateway.apis import status
from inference_engine.gateway.http import threads
from inference_engine.jobs.job import Response, ResultStatus


@pytest.mark.parametrize(("result", "beside"), [({"y": [1, 2]}, 0), ({"y": "x" * threads.LARGE_BYTES}, 1)])
async def test_only_a_large_result_is_written_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, result: Any, beside: int
) -> None:
    ran: list[Callable[..., Any]] = []
    run = threads.run

    async def counted(function: Callable[..., Any], *arguments: object) -> Any:
        ran.append(function)
        return await run(function, *arguments)

    monkeypatch.setattr(threads, "run", counted)
    shown = await status._view(
        Response(
            message_id="id", request_id="r", label="m", status=ResultStatus.SUCCESS, status_code=200, result=result
        )
    )
    assert len(ran) == beside
    assert shown.result is not None
    assert shown.result_cut is (beside == 1)
