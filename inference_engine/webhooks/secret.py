"""The secret that deliveries are signed with."""

from __future__ import annotations

import logging
import time

from ..aws.parameters import read_secret
from ..aws.transport import Transport
from ..errors import InferenceEngineError, SettingsError
from ..settings import WebhookSettings
from .rules import keys_of

log = logging.getLogger(__name__)

#: A new secret is in use at the latest this long after it was written.
KEEP_SECONDS = 300.0


class Secret:
    """The keys of the secret in the settings, or of the SSM parameter that they name, which is reread from time to time."""

    def __init__(self, transport: Transport, settings: WebhookSettings) -> None:
        self._transport = transport
        self._settings = settings
        self._keys: list[bytes] = []
        self._until = 0.0

    async def keys(self) -> list[bytes]:
        """The keys to sign with. Raises SettingsError, NotProvisionedError or TransportError where there are none."""
        if self._keys and time.monotonic() < self._until:
            return self._keys
        try:
            self._keys = keys_of(await self._text())
        except InferenceEngineError as error:
            if not self._keys:
                raise
            # Receivers still know the old one.
            log.warning("the webhook secret could not be read again, the old one is used: %s", error)
        self._until = time.monotonic() + KEEP_SECONDS
        return self._keys

    async def _text(self) -> str:
        if self._settings.secret is not None:
            return self._settings.secret.get_secret_value()
        if self._settings.secret_parameter is None:
            raise SettingsError(
                "no secret to sign webhooks with: set INFERENCE_ENGINE_WEBHOOKS_SECRET, or …_SECRET_PARAMETER to the "
                "name of the parameter that `inference-engine webhooks secret` made"
            )
        return await read_secret(self._transport, self._settings.secret_parameter)
