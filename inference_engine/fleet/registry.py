"""The registry in DynamoDB: leased consumer rows, claims, label settings, load failures.

pk            sk               what
cell#N        consumer id      a consumer's row, alive until its lease ends
claim#LABEL   holder number      which consumer may be that holder of the label
labels        label            label settings
models        label            what its model takes and gives
failures      label            recent failed loads of its model
waiting       label            labels that a load request was sent for (load_requests.py)
dead-letters  message id       jobs that no consumer could finish (dead_letters.py)
keys          key id           API keys of the HTTP gateway (api_keys.py)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..aws.tables import Item, Rows
from ..aws.transport import Transport
from .view import ConsumerView, Fleet, LabelSettings, LoadFailure, ModelSignature

log = logging.getLogger(__name__)

Value = TypeVar("Value")

#: A claim counts for this long while its consumer's row does not show the label yet.
CLAIM_GRACE_SECONDS = 15.0
#: Limit for the reason why a model could not be loaded; its end says no more than its beginning.
REASON_MAX_CHARACTERS = 2000
#: DynamoDB's TTL deletes a consumer's row this long after the end of its lease.
ROW_TTL_SECONDS = 3600


class Registry:
    """Who holds which label."""

    def __init__(self, transport: Transport, table: str, cell: int = 0) -> None:
        self._rows = Rows(transport, table)
        self._parsed: dict[int, dict[str, ConsumerView]] = {}
        self._unreadable: dict[str, set[str]] = {}
        self._cell = cell
        self._row_key = f"cell#{cell}"

    async def fleet(self, cell: int | None = None) -> Fleet:
        """All current consumers of a cell, by default this registry's own."""
        cell = self._cell if cell is None else cell
        # Most rows are unchanged since the last read, and parsing is most of a read's cost.
        known, views = self._parsed.get(cell, {}), {}

        def parse(item: Item) -> None:
            row = item["row"]["S"]
            views[row] = known.get(row) or ConsumerView.model_validate_json(row)

        await self._readable(f"cell#{cell}", parse, consistent=True)
        self._parsed[cell] = views
        return Fleet(tuple(views.values()), time.time())

    async def whole_fleet(self, cells: int) -> Fleet:
        """The consumers of all cells in one Fleet."""
        fleets = await asyncio.gather(*(self.fleet(cell) for cell in range(cells)))
        return Fleet(
            tuple(view for fleet in fleets for view in fleet.consumers), min(fleet.read_at for fleet in fleets)
        )

    async def publish(self, view: ConsumerView) -> None:
        """Write a consumer's own row, which renews its lease."""
        await self._rows.put(
            self._row_key, view.consumer_id, {"row": {"S": view.model_dump_json()}}, view.lease_until + ROW_TTL_SECONDS
        )

    async def leave(self, consumer_id: str) -> None:
        """Delete a consumer's row."""
        await self._rows.delete(self._row_key, consumer_id)

    async def claim(self, label: str, consumer_id: str, holders: int, fleet: Fleet) -> bool:
        """Take one of the label's `holders` places; False if live consumers have them all.

        A place is free if nobody has claimed it, or if its owner is gone or no longer holds the label (by `fleet`).
        """
        for holder in range(holders):
            if await self._claim_place(label, consumer_id, holder, fleet):
                return True
        return False

    async def unclaim(self, label: str, consumer_id: str, holders: int) -> None:
        """Release the consumer's claim on the label."""
        for holder in range(holders):
            await self._rows.delete(
                f"claim#{label}",
                str(holder),
                ConditionExpression="#owner = :me",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":me": {"S": consumer_id}},
            )

    async def label(self, label: str) -> LabelSettings:
        """Settings of a label; the defaults if nothing is set, or nothing that this version can read."""
        return await self._read("labels", label, _settings) or LabelSettings(label=label)

    async def set_label(self, settings: LabelSettings) -> None:
        """Write the settings of a label."""
        await self._rows.put("labels", settings.label, {"row": {"S": settings.model_dump_json()}})

    async def labels(self) -> list[LabelSettings]:
        """The settings of all labels that have some, sorted by label."""
        return await self._readable("labels", _settings)

    async def describe(self, signature: ModelSignature) -> None:
        """Write the inputs and outputs of a label's model."""
        await self._rows.put("models", signature.label, {"row": {"S": signature.model_dump_json()}})

    async def signature(self, label: str) -> ModelSignature | None:
        """The inputs and outputs of a label's model; None if it was never loaded or this version cannot read its row."""
        return await self._read("models", label, _signature)

    async def signatures(self) -> list[ModelSignature]:
        """The same for all labels that were ever loaded, sorted by label."""
        return await self._readable("models", _signature)

    async def failure(self, label: str) -> LoadFailure | None:
        """The load failure of a label that still counts, if there is one."""
        failure = await self._read("failures", label, _failure)
        return failure if failure and failure.until > time.time() else None

    async def failures(self) -> list[LoadFailure]:
        """All load failures that still count, sorted by label."""
        now = time.time()
        return [failure for failure in await self._readable("failures", _failure) if failure.until > now]

    async def failed(self, label: str, reason: str, cooling_seconds: float) -> None:
        """Count one more load failure, or the first one if earlier ones have cooled off."""
        now = time.time()
        until = now + cooling_seconds
        names = {"#until": "until"}
        values = {
            ":reason": {"S": reason[:REASON_MAX_CHARACTERS]},
            ":until": {"N": repr(until)},
            ":expires": {"N": str(int(until))},
            ":one": {"N": "1"},
        }
        fields = "reason = :reason, #until = :until, expires_at = :expires"
        again = await self._rows.update(
            "failures",
            label,
            f"SET {fields} ADD tries :one",
            values | {":now": {"N": repr(now)}},
            ConditionExpression="#until > :now",
            ExpressionAttributeNames=names,
        )
        if not again:
            first = f"SET {fields}, tries = :one"
            await self._rows.update("failures", label, first, values, ExpressionAttributeNames=names)

    async def succeeded(self, label: str) -> None:
        """Forget a label's load failures."""
        await self._rows.delete("failures", label)

    async def _read(self, pk: str, sk: str, parse: Callable[[Item], Value]) -> Value | None:
        """The value of one row; None if there is no row, or one that `_readable` would leave out."""
        item = await self._rows.get(pk, sk)
        known = self._unreadable.setdefault(pk, set())
        return self._parse(pk, item, parse, known, known) if item else None

    async def _readable(self, pk: str, parse: Callable[[Item], Value], *, consistent: bool = False) -> list[Value]:
        """The values of a partition's rows.

        A row that this version cannot read is left out, so that it does not hide the others, and logged when first seen.
        """
        values: list[Value] = []
        known, unreadable = self._unreadable.get(pk, set()), set[str]()
        async for item in self._rows.of(pk, consistent=consistent):
            value = self._parse(pk, item, parse, known, unreadable)
            if value is not None:
                values.append(value)
        self._unreadable[pk] = unreadable
        return values

    @staticmethod
    def _parse(
        pk: str, item: Item, parse: Callable[[Item], Value], known: set[str], unreadable: set[str]
    ) -> Value | None:
        """The row's value; None if it cannot be read: the row is then added to `unreadable`, and logged unless `known`."""
        try:
            return parse(item)
        except (KeyError, TypeError, ValueError) as error:
            content = repr(item)
            if content not in known:
                log.error("a registry row cannot be read and is ignored: %s %s: %s", pk, item["sk"], error)
            unreadable.add(content)
            return None

    async def _claim_place(self, label: str, consumer_id: str, holder: int, fleet: Fleet) -> bool:
        now = time.time()
        mine = {"owner": {"S": consumer_id}, "claimed_at": {"N": repr(now)}}
        place = (f"claim#{label}", str(holder))
        taken = await self._take(place, mine, "attribute_not_exists(pk) OR #owner = :me", {":me": {"S": consumer_id}})
        if taken is None:
            return True
        owner, claimed_at = taken["owner"]["S"], float(taken["claimed_at"]["N"])
        view = fleet.get(owner)
        alive = view is not None and view.lease_until > now and not view.draining
        if alive and (view.holds(label) or claimed_at + CLAIM_GRACE_SECONDS > now):  # type: ignore[union-attr]
            return False
        if view is None and claimed_at > fleet.read_at:
            return False
        expected = {":owner": taken["owner"], ":at": taken["claimed_at"]}
        taken = await self._take(place, mine, "#owner = :owner AND claimed_at = :at", expected)
        # After a lost answer, the repeated write finds its own first one.
        return taken is None or taken["owner"]["S"] == consumer_id

    async def _take(
        self, place: tuple[str, str], mine: dict[str, Any], condition: str, values: dict[str, Any]
    ) -> dict[str, Any] | None:
        """None if the claim was written, else the existing one."""
        written = await self._rows.put(
            *place,
            mine,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues=values,
        )
        if written:
            return None
        # Deleted in between: the caller sees a claim without an owner and tries again with its next request.
        nobody = {"owner": {"S": ""}, "claimed_at": {"N": repr(time.time())}}
        return await self._rows.get(*place, consistent=True) or nobody


def _settings(item: Item) -> LabelSettings:
    return LabelSettings.model_validate_json(item["row"]["S"])


def _signature(item: Item) -> ModelSignature:
    return ModelSignature.model_validate_json(item["row"]["S"])


def _failure(item: dict[str, Any]) -> LoadFailure:
    return LoadFailure(item["sk"]["S"], int(item["tries"]["N"]), item["reason"]["S"], float(item["until"]["N"]))
