"""A proxy that records what AWS would bill, by operation and resource."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.support.fault_proxy import FaultProxy

from .billing import Bill, bill, resource

#: By operation, and queue or table.
Account = dict[tuple[str, str], Bill]


class BillingProxy(FaultProxy):
    """Forwards all calls, and bills each one when it is answered."""

    def __init__(self, target_url: str) -> None:
        super().__init__(target_url, share=0)
        self._account: defaultdict[tuple[str, str], Bill] = defaultdict(Bill)

    def account(self) -> Account:
        """What was billed so far."""
        return dict(self._account)

    async def _forward(self, request: web.Request) -> web.Response:
        response = await super()._forward(request)
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        if operation:
            asked, answered = _json(await request.read()), _json(response.body)
            self._account[operation, resource(asked)] += bill(service, operation, asked, answered)
        return response


def difference(after: Account, before: Account) -> Account:
    """What was billed between the two."""
    return {key: since for key, one in after.items() if (since := _minus(one, before.get(key, Bill()))).calls}


def _minus(one: Bill, other: Bill) -> Bill:
    return Bill(
        one.calls - other.calls,
        one.fifo_requests - other.fifo_requests,
        one.standard_requests - other.standard_requests,
        one.write_units - other.write_units,
        one.read_units - other.read_units,
    )


def _json(body: Any) -> Mapping[str, Any]:
    parsed = json.loads(body) if isinstance(body, bytes) and body else {}
    return parsed if isinstance(parsed, dict) else {}
