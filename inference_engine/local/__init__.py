"""Everything on one machine: an AWS emulator, Triton without docker, demo models."""

from inference_engine.local.errors import LocalStackError

__all__ = ["LocalStackError"]
