"""Bodies whose unknown fields are rejected: a misspelt one would otherwise be ignored silently."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

#: How many unknown fields are reported: each is an error of its own, and a body has room for a million of them.
UNKNOWN_TOLD = 3


class Strict(BaseModel):
    """A body that accepts no fields but its own."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, data: Any) -> Any:
        """The body without most of its unknown fields, so that only a few of them are validated."""
        fields = cls.model_fields
        if not isinstance(data, dict) or len(data) <= len(fields) + UNKNOWN_TOLD:
            return data
        unknown = itertools.islice((name for name in data if name not in fields), UNKNOWN_TOLD)
        return {name: data[name] for name in (*fields, *unknown) if name in data}
