"""FunctionBackend: a Python function computes the jobs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..errors import BackendError, ModelLoadError, SettingsError
from ..fleet.view import ModelSignature
from .base import LoadedModel, Work

DEFAULT_THREADS = 8
#: The platform of a model that is a function, whose inputs and outputs are unknown.
PLATFORM = "python_function"


class FunctionBackend:
    """Calls `compute_result(body, message_id)` for each job; passes `label` too, where it has a parameter of that name.

    A plain function runs on a pool of `threads` threads, an async one on the consumer's loop. `load(label)` and
    `unload(label)`, where given, bring a label's model into memory and remove it; `load` may return its size in bytes.
    """

    def __init__(
        self,
        compute_result: Callable[..., Any],
        *,
        load: Callable[[str], Any] | None = None,
        unload: Callable[[str], Any] | None = None,
        threads: int = DEFAULT_THREADS,
    ) -> None:
        self._compute = compute_result
        self._load = load
        self._unload = unload
        self._wants_label = _wants_label(compute_result)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference-engine-job")

    async def start(self) -> None:
        """Nothing to connect to."""

    async def load(self, label: str) -> LoadedModel:
        signature = ModelSignature(label=label, platform=PLATFORM)
        if self._load is None:
            return LoadedModel(label, signature=signature)
        try:
            size = await self._call(self._load, label)
        except Exception as error:
            raise ModelLoadError(f"load({label!r}) raised {type(error).__name__}: {error}") from error
        return LoadedModel(label, size if isinstance(size, int) else 0, signature)

    async def unload(self, label: str) -> None:
        if self._unload is None:
            return
        try:
            await self._call(self._unload, label)
        except Exception as error:
            raise BackendError(f"unload({label!r}) raised {type(error).__name__}: {error}") from error

    async def infer(self, work: Work) -> Any:
        if self._wants_label:
            return await self._call(self._compute, work.body, work.message_id, label=work.label)
        return await self._call(self._compute, work.body, work.message_id)

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(*arguments, **named)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._pool, partial(function, *arguments, **named))
        return await result if inspect.isawaitable(result) else result


def _wants_label(function: Callable[..., Any]) -> bool:
    """Whether the function takes a label. Raises SettingsError where it cannot be called for a job."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some builtins have no signature that Python can inspect.
        return False
    wants = "label" in signature.parameters
    try:
        signature.bind(None, "message-id", **({"label": "label"} if wants else {}))
    except TypeError as error:
        raise SettingsError(
            f"compute_result has the parameters {signature}; it is called as compute_result(body, message_id), "
            f"or also with label=…: {error}"
        ) from None
    return wants
