"""The tree of exceptions."""

from __future__ import annotations

import inspect

import pytest

from inference_engine import errors

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
