"""Paths that README or the documentation once named, of things that are elsewhere now: they work, with a DeprecationWarning.

A module that is gone is found here, by a finder that Python asks last; `from inference_engine.callbacks import verify` then
works as ever. Nothing is imported before it is asked for. Type checkers read the `.pyi` file that lies at the old path. The
page docs/reference/stability.md lists the paths.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: The old path of each thing, and where it is.
MOVED = {
    "inference_engine.aws.activity.read_activity": "inference_engine.operations.activity.read_activity",
    "inference_engine.aws.client.DynamoDBClient": "inference_engine.DynamoDBClient",
    "inference_engine.aws.dead_letters.DeadLetters": "inference_engine.dead_letters.handler.DeadLetterHandler",
    "inference_engine.callbacks.verify": "inference_engine.webhooks.verify",
    "inference_engine.local.tiny_models.write_tiny_models": (
        "inference_engine.model_authoring.tiny_models.write_tiny_models"
    ),
    "inference_engine.webhooks.Courier": "inference_engine.webhooks.delivery.Courier",
    "inference_engine.webhooks.Outbox": "inference_engine.webhooks.outbox.Outbox",
}
_MODULES = {path.rpartition(".")[0] for path in MOVED} - {"inference_engine.webhooks"}


def attribute(module: str, name: str) -> Any:
    """The thing that once was `module.name`, for the module's `__getattr__`. Raises AttributeError for any other name."""
    path = MOVED.get(f"{module}.{name}")
    if path is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(f"{module}.{name} is {path} now; import it from there", DeprecationWarning, stacklevel=3)
    owner, _, there = path.rpartition(".")
    return getattr(importlib.import_module(owner), there)


class _Finder(MetaPathFinder, Loader):
    """Makes modules that are gone, empty but for what is in MOVED."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin=__file__) if fullname in _MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        def moved(name: str) -> Any:
            return attribute(module.__name__, name)

        vars(module)["__getattr__"] = moved


_finder = _Finder()


def keep_importable() -> None:
    """Have Python ask here for modules that it finds nowhere else. A second call does nothing."""
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
