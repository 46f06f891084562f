"""Every setting of the library, read from the environment and checked once.

A setting `jobs_table` is the environment variable `INFERENCE_ENGINE_JOBS_TABLE`. Region, credentials and endpoint are the
AWS SDK's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, …) and are not repeated here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError

#: S3 takes at most 5 GiB in one PutObject (Amazon S3 User Guide, "Uploading objects").
S3_PUT_MAX_BYTES = 5 * 1024**3
#: A body is a JSON string inside the message, and escaping at worst doubles it: twice this and the rest fit SQS's 1 MiB.
BODY_INLINE_MAX_BYTES = 500_000
#: DynamoDB bills each written KB, S3 each request: above a few KB S3 is cheaper, below that it is only slower.
RESULT_INLINE_BYTES_WITH_BUCKET = 32_768
#: SQS: visibility timeout of at most 12 hours (SQS Developer Guide, "Visibility timeout").
VISIBILITY_MAX_SECONDS = 43_200

ENV_PREFIX = "INFERENCE_ENGINE_"
WEBHOOKS_ENV_PREFIX = "INFERENCE_ENGINE_WEBHOOKS_"
GATEWAY_ENV_PREFIX = "INFERENCE_ENGINE_GATEWAY_"
#: Variables that begin like this have the library's prefix, but are not fields of `Settings`.
_OTHERS = (
    WEBHOOKS_ENV_PREFIX,
    GATEWAY_ENV_PREFIX,
    "INFERENCE_ENGINE_BACKLOG_",
    "INFERENCE_ENGINE_CACHE",
    "INFERENCE_ENGINE_API_KEY",
)

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """What a producer or a consumer needs to know about its deployment.

    Each setting is a keyword argument or an environment variable. Raises SettingsError, naming the setting, its value and
    the rule, where one is invalid.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    prefix: str = Field("inference-engine", description="name that all queues and tables of one environment begin with")
    region: str | None = Field(None, description="AWS region; by default what the AWS SDK finds")
    jobs_table: str = Field("", description="DynamoDB table of job records; '{prefix}-jobs' by default")
    registry_table: str = Field(
        "", description="DynamoDB table of consumers and labels; '{prefix}-registry' by default"
    )
    bucket: str | None = Field(None, description="S3 bucket for bodies and results that do not fit; none by default")
    auto_create_queues: bool = Field(True, description="create the queue of a label on its first post")
    cells: int = Field(1, ge=1, description="parts that a large fleet is split into")
    cell: int = Field(0, ge=0, description="the part that this consumer belongs to")

    body_inline_max_bytes: int = Field(262_144, ge=1, le=BODY_INLINE_MAX_BYTES, description="larger bodies go to S3")
    result_inline_max_bytes: int = Field(
        300_000, ge=1, le=390_000, description="larger results go to S3; 32768 by default where a bucket is set"
    )
    payload_max_bytes: int = Field(
        S3_PUT_MAX_BYTES, ge=1, le=S3_PUT_MAX_BYTES, description="larger payloads are refused"
    )
    result_ttl_seconds: Seconds = Field(86_400, description="how long after its last change a job record expires")

    timeout_seconds: Seconds = Field(300, description="how long a blocking post waits for its result")
    poll_min_seconds: Seconds = Field(0.02, description="shortest wait between two reads of a job record")
    poll_max_seconds: Seconds = Field(1.0, description="longest wait between two reads of a job record")
    host_cache_seconds: Seconds = Field(5.0, description="how long a producer caches which consumers hold a label")

    visibility_timeout_seconds: int = Field(
        30, ge=3, le=VISIBILITY_MAX_SECONDS, description="visibility timeout of a received message"
    )
    wait_time_seconds: int = Field(20, ge=0, le=20, description="wait time of a long poll")
    max_receive_count: int = Field(10, ge=5, le=1000, description="receives before a message is dead-lettered")
    max_attempts: int = Field(3, ge=1, description="starts of one job before its failure is final")
    retry_backoff_seconds: Seconds = Field(2.0, description="wait before the second attempt; doubles each time")
    drain_seconds: Seconds = Field(90, description="how long a stopping consumer lets its running jobs continue")
    max_in_flight: int = Field(64, ge=1, description="jobs that one consumer computes at once")

    max_load_tries: int = Field(3, ge=1, description="failed loads of a model before its jobs fail")
    load_cooling_seconds: Seconds = Field(60, description="wait before a model that failed to load is tried again")
    lease_seconds: Seconds = Field(30, description="how long a consumer may be silent before it counts as gone")
    placement_interval_seconds: Seconds = Field(
        1.0, description="how long a load request waits per rank of the consumer that takes it"
    )
    placement_idle_seconds: Seconds = Field(
        10.0, description="how much longer a load request waits for a consumer with a free slot before another evicts"
    )
    turn_min_seconds: Seconds = Field(30.0, description="shortest time that a busy label keeps its slot")

    @model_validator(mode="before")
    @classmethod
    def _derived_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        prefix = values.get("prefix") or "inference-engine"
        values["jobs_table"] = values.get("jobs_table") or f"{prefix}-jobs"
        values["registry_table"] = values.get("registry_table") or f"{prefix}-registry"
        if values.get("bucket"):
            values.setdefault("result_inline_max_bytes", RESULT_INLINE_BYTES_WITH_BUCKET)
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.prefix):
            raise ValueError(f"prefix {self.prefix!r} must be 1 to 40 letters, digits, '-' and '_'")
        if self.cell >= self.cells:
            raise ValueError(f"cell {self.cell} does not exist: with cells={self.cells}, they are numbered from 0")
        if self.poll_min_seconds > self.poll_max_seconds:
            raise ValueError("poll_min_seconds is greater than poll_max_seconds")
        return self

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(explain(error, ENV_PREFIX)) from error

    @property
    def heartbeat_seconds(self) -> float:
        """Seconds between two renewals of a message's visibility: a third of its timeout, so that one miss does no harm."""
        return self.visibility_timeout_seconds / 3


class WebhookSettings(BaseSettings):
    """How callbacks are delivered. A setting `secret` is the environment variable `INFERENCE_ENGINE_WEBHOOKS_SECRET`.

    A producer uses `allow_private` only. Raises SettingsError as `Settings` does.
    """

    model_config = SettingsConfigDict(
        env_prefix=WEBHOOKS_ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    allow_private: bool = Field(
        False,
        description="permit callback URLs with http, any port and private addresses (never an instance's metadata)",
    )
    timeout_seconds: Seconds = Field(10, le=30, description="how long a receiver may take to answer")
    secret: SecretStr | None = Field(
        None,
        description="what deliveries are signed with, `whsec_…`; several are separated by spaces, the current one first",
    )
    secret_parameter: str | None = Field(
        None, description="the SSM parameter that contains the secret, where `secret` is not set"
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(explain(error, WEBHOOKS_ENV_PREFIX)) from error


def unknown_variables(settings: type[BaseSettings]) -> Iterator[str]:
    """A sentence for each environment variable that looks like one of these settings but is none, probably misspelt."""
    prefix = settings.model_config["env_prefix"]
    known = {prefix + name.upper() for name in settings.model_fields}
    others = tuple(other for other in _OTHERS if other != prefix)
    for variable in sorted(os.environ):
        if variable.startswith(prefix) and variable not in known and not variable.startswith(others):
            near = difflib.get_close_matches(variable, known, 1)
            yield f"{variable} is not a setting and has no effect" + (f"; did you mean {near[0]}?" if near else "")


def explain(error: ValidationError, env_prefix: str, variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of a SettingsError: each invalid setting with its environment variable, its value and what is wrong.

    `variables` maps a setting to its variable where that is not `env_prefix` and the setting's name.
    """
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).lower().removeprefix(env_prefix.lower())
        variable = variables.get(name, env_prefix + name.upper())
        where = f"{name} ({variable}) = {problem.get('input')!r}: " if name else ""
        lines.append(where + problem["msg"].removeprefix("Value error, "))
    return "invalid settings: " + "; ".join(lines)
