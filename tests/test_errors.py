"""The tree of exceptions."""

from __future__ import annotations

import inspect
import re
import tomllib

import pytest

from inference_engine import errors
from tests.support.project import PROJECT

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL)
def test_every_exception_is_ours_drawn_and_has_a_message(kind: type[errors.InferenceEngineError]) -> None:
    assert issubclass(kind, errors.InferenceEngineError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert str(kind()) == kind.__doc__
    assert str(kind("what was wrong")) == "what was wrong"


def test_exceptions_fit_what_python_programmers_catch() -> None:
    assert issubclass(errors.SettingsError, ValueError)
    assert issubclass(errors.UnknownMessageError, KeyError)
    assert issubclass(errors.ResultTimeoutError, TimeoutError)
    assert issubclass(errors.ModelInputError, errors.UnretryableError)


def test_a_missing_extra_is_named_with_what_installs_it() -> None:
    with pytest.raises(errors.ExtraMissingError) as told, errors.needs("consumer"):
        raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")
    assert str(told.value) == (
        "aiohttp is not installed; install it with: "
        "pip install 'inference-engine[consumer]', or in a clone pip install -e '.[consumer]'"
    )


def test_a_bug_of_our_own_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError) as told, errors.needs("consumer"):
        raise ModuleNotFoundError("No module named 'inference_engine.x'", name="inference_engine.x")
    assert type(told.value) is ModuleNotFoundError


def test_extras_that_messages_name_exist() -> None:
    named = {
        extra
        for path in PROJECT.glob("inference_engine*/**/*.py")
        for extra in re.findall(r"\b(?:needs|how_to_install)\([\"'](\w+)[\"']\)", path.read_text("utf-8"))
    }
    assert {"consumer", "progress"} <= named
    assert named <= set(
        tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    )
