"""API keys of the HTTP gateway, in the registry table: partition `keys`, sort key the key's id.

A key is `ie_<id>_<secret>`. The table holds only a digest of the secret, so reading the table reveals no key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import time
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from .aws.tables import Rows
from .aws.transport import Transport
from .errors import TransportError

_PARTITION = "keys"
#: No `_`, which separates the parts of a key.
_ID_ALPHABET = string.ascii_lowercase + string.digits
ID_CHARACTERS = 10
#: 256 random bits, which are 43 characters of URL-safe base64.
SECRET_BYTES = 32
#: The format of a key, also inside other text.
KEY_PATTERN = re.compile(rf"ie_([a-z0-9]{{{ID_CHARACTERS}}})_([A-Za-z0-9_-]{{43}})")
#: There are so many ids (36 to the 10th) that two taken ones in a row mean that something else is wrong.
_TRIES = 3


class ApiKey(BaseModel):
    """Everything stored about a key, which excludes its secret. Times are Unix seconds.

    `labels` are shell-style patterns, None for every label. `rate` is in requests per second, None for no limit. `burst` is
    how many requests may come at once.
    """

    model_config = ConfigDict(frozen=True)

    key_id: str
    digest: str = Field(repr=False, description="SHA-256 of the secret, in hexadecimal digits")
    name: str
    labels: tuple[str, ...] | None = None
    priority: int = 0
    rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    burst: int = Field(1, ge=1)
    operator: bool = False
    created_at: float
    expires_at: float | None = None

    def expired(self, now: float) -> bool:
        """Whether the key has expired at `now` (Unix seconds)."""
        return self.expires_at is not None and self.expires_at <= now


class ApiKeys:
    """The keys of a deployment."""

    def __init__(self, transport: Transport, table: str) -> None:
        self._rows = Rows(transport, table)

    async def create(
        self,
        name: str,
        *,
        labels: Sequence[str] | None = None,
        priority: int = 0,
        rate: float | None = None,
        burst: int = 1,
        operator: bool = False,
        expires_at: float | None = None,
    ) -> tuple[str, ApiKey]:
        """Create a key. Returns its text, the only place that holds the secret, and what is stored. Raises TransportError."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        for _ in range(_TRIES):
            key = ApiKey(
                key_id="".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_CHARACTERS)),
                digest=digest_of(secret),
                name=name,
                labels=None if labels is None else tuple(labels),
                priority=priority,
                rate=rate,
                burst=burst,
                operator=operator,
                created_at=time.time(),
                expires_at=expires_at,
            )
            if await self._put(key):
                return f"ie_{key.key_id}_{secret}", key
        raise TransportError(f"no free id for an API key after {_TRIES} tries; try again")

    async def get(self, key_id: str) -> ApiKey | None:
        """The current state of a key; None if there is none. Once `revoke` has returned, no reader finds the key."""
        item = await self._rows.get(_PARTITION, key_id, consistent=True)
        return ApiKey.model_validate_json(item["row"]["S"]) if item else None

    async def all(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        keys = [ApiKey.model_validate_json(item["row"]["S"]) async for item in self._rows.of(_PARTITION)]
        return sorted(keys, key=lambda key: key.created_at)

    async def revoke(self, key_id: str) -> bool:
        """Delete a key; False if there is none with that id."""
        # Not by a condition on the deletion: after a lost answer, the repeated call would find nothing and return False.
        known = await self._rows.get(_PARTITION, key_id, consistent=True) is not None
        await self._rows.delete(_PARTITION, key_id)
        return known

    async def _put(self, key: ApiKey) -> bool:
        """Write a new key's row; False if its id is taken."""
        row = {"S": key.model_dump_json()}
        return await self._rows.put(
            _PARTITION,
            key.key_id,
            {"row": row},
            key.expires_at,
            # After a lost answer, the repeated write finds its own first one.
            ConditionExpression="attribute_not_exists(pk) OR #row = :row",
            ExpressionAttributeNames={"#row": "row"},
            ExpressionAttributeValues={":row": row},
        )


def parse(text: str) -> tuple[str, str] | None:
    """The id and secret of a key; None if `text` is not a key."""
    match = KEY_PATTERN.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest_of(secret: str) -> str:
    """The stored digest of a secret.

    One round of SHA-256: slow, salted hashes are for secrets that people can remember. Nobody can try a significant share of
    256 random bits, however fast the hash, and a slow hash would let anybody who sends wrong keys keep the gateway busy.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
