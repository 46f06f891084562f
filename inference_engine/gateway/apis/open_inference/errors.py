"""Errors for requests and results that do not fit the protocol."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be read, or its answer cannot be given in the form that it requests."""


class ResultError(Exception):
    """The job's result has no form in the protocol."""
