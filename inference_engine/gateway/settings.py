"""The gateway's own settings, in addition to those of the library.

A setting `max_concurrency` is the environment variable `INFERENCE_ENGINE_GATEWAY_MAX_CONCURRENCY`. Settings that the APIs served
here have always had can also be set by their old names (`MAX_CONCURRENCY`, `MODEL_REF`, …).
"""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ..errors import SettingsError
from ..settings import GATEWAY_ENV_PREFIX as ENV_PREFIX
from ..settings import Bytes, Seconds, explain

#: Priorities that a caller can name: enough for any order of importance, and a bound on the number of bands.
PRIORITY_MAX = 100

_ADDRESS = "HTTP_SERVER_ADDRESS"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # keys are required there


def _also(name: str, variable: str) -> AliasChoices:
    """A setting that another variable can set as well; its own takes precedence."""
    return AliasChoices(ENV_PREFIX + name.upper(), variable)


class GatewaySettings(BaseSettings):
    """What an HTTP gateway needs to know besides its deployment.

    Every argument may be given by name or by environment. Raises SettingsError where one is invalid, naming the setting, its
    value and the rule.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="address to listen on; any other than loopback requires keys")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    require_keys: bool | None = Field(
        None, description="whether callers need an API key; by default, if `host` is not loopback"
    )

    max_concurrency: int = Field(
        1000,
        ge=1,
        validation_alias=_also("max_concurrency", "MAX_CONCURRENCY"),
        description="waiting callers' jobs that may be in flight at once, over all labels",
    )
    in_flight_per_host: int = Field(64, ge=1, description="the same for one label, for each consumer that holds it")
    max_queue_size: int = Field(
        10_000,
        ge=0,
        validation_alias=_also("max_queue_size", "MAX_QUEUE_SIZE"),
        description="callers that may wait in one priority band, and jobs that may be on the queue of a label",
    )
    max_queue_bytes: Bytes = Field(33_554_432, description="bytes of the requests that may wait in one priority band")
    max_bands: int = Field(8, ge=1, description="how many priorities may have waiting requests at once")
    order: Literal["fcfs", "edf"] = Field(
        "fcfs", description="within a flow: first come, first served; or earliest deadline first"
    )
    queue_seconds: Seconds = Field(
        60, description="a request that has waited this long without being dispatched gets 429"
    )
    no_consumer_seconds: Seconds = Field(
        30, description="a request that has waited this long without a live consumer gets 503"
    )
    timeout_seconds: Seconds = Field(
        300,
        validation_alias=_also("timeout_seconds", "TASK_TIMEOUT"),
        description="how long a caller that sets no timeout waits for a result",
    )
    timeout_max_seconds: Seconds = Field(3600, description="cap on the timeout that a caller sets")
    shutdown_delay: Seconds = Field(
        30,
        validation_alias=_also("shutdown_delay", "SHUTDOWN_DELAY"),
        description="how long callers may keep waiting after the gateway is told to stop",
    )

    max_connections: int = Field(10_000, ge=1, description="open connections; further ones are closed")
    trust_proxy: bool = Field(
        False,
        description="whether to take callers' addresses from the load balancer's X-Forwarded-For; only where nothing but one "
        "load balancer can reach the gateway",
    )
    body_max_bytes: Bytes = Field(
        16_777_216, description="larger request bodies are rejected; also the limit of their decompressed size"
    )
    bodies_max_bytes: Bytes = Field(
        67_108_864, description="total bytes of the bodies of unanswered requests; beyond it, requests get 503"
    )
    body_timeout_seconds: Seconds = Field(30, description="a request body must arrive within this time")

    model_ref: str | None = Field(
        None, validation_alias=_also("model_ref", "MODEL_REF"), description="label that POST /infer sends prompts to"
    )
    prompt_input: str = Field("prompt", description="name of the model's input that carries the prompt of POST /infer")
    kv_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_also("kv_endpoints", "KV_ENDPOINTS"),
        description="key-value stores of the model, separated by commas; returned in each response of POST /infer",
    )
    uploader_url: str | None = Field(None, description="service that POST /upload-model is forwarded to")
    uploader_timeout_seconds: Seconds = Field(900, description="how long an upload may take")

    @field_validator("kv_endpoints", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> GatewaySettings:
        if self.require_keys is False and not self.loopback:
            raise ValueError(
                f"require_keys is false and host {self.host!r} is not loopback: anyone could post jobs; "
                "listen on 127.0.0.1, or require keys (inference-engine keys create)"
            )
        if self.timeout_seconds > self.timeout_max_seconds:
            raise ValueError("timeout_seconds is greater than timeout_max_seconds")
        for name in ("bodies_max_bytes", "max_queue_bytes"):
            if getattr(self, name) < self.body_max_bytes:
                raise ValueError(
                    f"{name} is less than body_max_bytes: bodies of the largest size allowed would always be rejected"
                )
        return self

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**_address() | values)
        except ValidationError as error:
            raise SettingsError(explain(error, ENV_PREFIX, _other_variables())) from error

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        """Whether callers need an API key."""
        return not self.loopback if self.require_keys is None else self.require_keys


def _address() -> dict[str, str]:
    """Host and port of `HTTP_SERVER_ADDRESS` (`127.0.0.1:8000`), where their own variables do not set them.

    `:8000` is that port on all addresses, as in Go.
    """
    host, colon, port = os.environ.get(_ADDRESS, "").rpartition(":")
    found = {"host": host.strip("[]") or (ALL_ADDRESSES if colon else ""), "port": port}
    return {name: value for name, value in found.items() if value and not os.environ.get(ENV_PREFIX + name.upper())}


def _other_variables() -> dict[str, str]:
    """The variables of settings that were read from a variable other than their own, so that an error names what was set."""
    found = dict.fromkeys(_address(), _ADDRESS)
    for name, field in GatewaySettings.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            own, other = (str(choice) for choice in field.validation_alias.choices)
            if os.environ.get(other) and not os.environ.get(own):
                found[name] = other
    return found
