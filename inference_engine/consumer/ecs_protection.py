"""Keeps ECS from stopping a busy task: sets task scale-in protection, only on the edges between idle and busy.

Amazon ECS Developer Guide, "Amazon ECS task scale-in protection endpoint": PUT $ECS_AGENT_URI/task-protection/v1/state.
"""

from __future__ import annotations

import asyncio
import logging
import os

import aiohttp

log = logging.getLogger(__name__)

#: Protection expires after this unless it is renewed, as it is while jobs run (ECS allows 1 to 2,880 minutes).
PROTECTION_MINUTES = 60
#: The agent is on the same machine: if it does not answer quickly, it will not.
AGENT_TIMEOUT_SECONDS = 3


class TaskProtection:
    """Holds the protection while the consumer is busy; does nothing outside ECS."""

    def __init__(self, agent_uri: str | None = None) -> None:
        self._agent_uri = agent_uri if agent_uri is not None else os.environ.get("ECS_AGENT_URI")
        self._busy = False
        self._changed = asyncio.Event()

    def edge(self, busy: bool) -> None:
        """Report an edge; returns at once."""
        self._busy = busy
        self._changed.set()

    async def run(self) -> None:
        """Follow the edges forever; returns at once outside ECS."""
        if not self._agent_uri:
            return
        timeout = aiohttp.ClientTimeout(total=AGENT_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            protected = False
            while True:
                # Half the term: a task that stays busy longer renews its protection.
                try:
                    await asyncio.wait_for(self._changed.wait(), PROTECTION_MINUTES * 30)
                except TimeoutError:
                    protected = False
                self._changed.clear()
                if self._busy != protected:
                    protected = await self._put(session, self._busy)

    async def _put(self, session: aiohttp.ClientSession, enabled: bool) -> bool:
        body: dict[str, object] = {"ProtectionEnabled": enabled}
        if enabled:
            body["ExpiresInMinutes"] = PROTECTION_MINUTES
        try:
            async with session.put(f"{self._agent_uri}/task-protection/v1/state", json=body) as answer:
                # DEPLOYMENT_BLOCKED and similar answers have status 200 and a `failure`: normal during deployments.
                if answer.status < 300 and "failure" not in await answer.json(content_type=None):
                    return enabled
                log.info("task protection not changed: %s", await answer.text())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("task protection endpoint does not answer: %s", error)
        return not enabled
