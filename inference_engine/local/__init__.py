"""Everything on one machine: an AWS emulator, consumers, Triton without docker."""

from ..errors import LocalStackError

__all__ = ["LocalStackError"]
