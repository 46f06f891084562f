"""What a caller is told of a request that is not what the protocol says."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be read, or its answer cannot be given in the form that it asks for."""


class ResultError(Exception):
    """The job's result has no form in the protocol."""
