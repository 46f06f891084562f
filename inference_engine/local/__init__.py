"""Everything on one machine: an AWS emulator, Triton without docker, demo models."""

from .errors import LocalStackError

__all__ = ["LocalStackError"]
