"""Finds the labels that have work, and what is known of it.

To ask every queue each minute would cost more than the jobs of a deployment with many labels. Asked are the labels that consumers
hold, those that were rung for, and a page of all queues, from where the last search ended: it finds a job whose
producer died between sending it and ringing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..backlog import LabelWork, label_work
from ..errors import DecodeError, NotProvisionedError, TransportError
from ..fleet import Fleet
from ..job import Job
from ..labels import label_of_queue, placement_queue_name, queue_name
from .connect import Aws
from .queues import Backlog
from .registry import LoadFailure
from .waiting import Waiting

log = logging.getLogger(__name__)

#: A label that waits is rung for again when its last ring is so long ago, and such a share of its whole wait.
RING_AGAIN_SECONDS = 50.0
RING_AGAIN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Activity:
    """All that was read at `at` (Unix seconds); the fleet is that of all cells."""

    labels: tuple[LabelWork, ...]
    fleet: Fleet
    waiting: tuple[Waiting, ...]
    failures: tuple[LoadFailure, ...]
    at: float

    def to_ring(self) -> list[str]:
        """Labels that wait and were not rung for lately; the longer one waits, the rarer.

        A request stays on the placement queue until someone takes it: this is for the ones that never came there.
        """
        rows = {row.label: row for row in self.waiting}
        return [work.label for work in self.labels if work.unserved and self._due(rows.get(work.label))]

    def _due(self, row: Waiting | None) -> bool:
        return row is None or self.at - row.rung_at >= max(RING_AGAIN_SECONDS, (self.at - row.since) * RING_AGAIN_SHARE)

    def served(self) -> list[Waiting]:
        """Rows of labels that do not wait any more."""
        unserved = {work.label for work in self.labels if work.unserved}
        return [row for row in self.waiting if row.label not in unserved]


async def read_activity(aws: Aws, *, sweep_queues: int) -> Activity:
    """The work of every label that is held, was rung for, or is among the next `sweep_queues` of all queues."""
    fleet, waiting, label_settings, failures, swept = await asyncio.gather(
        aws.registry.whole_fleet(aws.settings.cells),
        aws.waiting.all(),
        aws.registry.labels(),
        aws.registry.failures(),
        _sweep(aws, sweep_queues),
    )
    now = time.time()
    since = {row.label: row.since for row in waiting}
    lanes = {one.label: one.lanes for one in label_settings}
    backlogs = await _backlogs(aws, {*_held(fleet, now), *since}, set(lanes), swept)
    work = [
        label_work(
            label,
            backlog.visible,
            backlog.in_flight,
            lanes=lanes.get(label, 1),
            fleet=fleet,
            waits_since=since.get(label),
            now=now,
        )
        for label, backlog in backlogs.items()
    ]
    return Activity(tuple(work), fleet, tuple(waiting), tuple(failures), now)


def _held(fleet: Fleet, now: float) -> set[str]:
    return {label for view in fleet.live(now) for label in (*view.loaded, *view.loading)}


async def _sweep(aws: Aws, most: int) -> list[str]:
    """URLs of the next queues."""
    if not most:
        return []
    token = await aws.waiting.cursor()
    begin = f"{aws.settings.prefix}-"
    try:
        urls, following = await aws.queues.listed(begin, most, token)
    except TransportError as error:
        if token is None:
            raise
        # A token is no promise for ever.
        log.info("the search through all queues begins anew: %s", error)
        urls, following = await aws.queues.listed(begin, most, None)
    if following != token:
        await aws.waiting.move_cursor(following)
    return urls


async def _backlogs(aws: Aws, labels: set[str], known: set[str], swept: Sequence[str]) -> dict[str, Backlog]:
    """The backlog of each label, and of those whose queues were swept."""
    prefix = aws.settings.prefix
    # A queue's URL ends with its name (SQS Developer Guide, "Queue and message identifiers"): one look-up serves for all.
    placement = await aws.queues.named(placement_queue_name(prefix, 0, aws.settings.cells))
    account = placement.rpartition("/")[0]
    urls = {f"{account}/{queue_name(prefix, label)}": label for label in labels}
    names = {queue_name(prefix, label): label for label in known}
    found: dict[str, str | None] = dict(urls)
    for url in swept:
        name = url.rpartition("/")[2]
        label = names.get(name) or label_of_queue(prefix, name)
        if label != "":
            found.setdefault(f"{account}/{name}", label)
    read = await asyncio.gather(*(_backlog(aws, url, label) for url, label in found.items()))
    return {label: backlog for label, backlog in read if label is not None}


async def _backlog(aws: Aws, url: str, label: str | None) -> tuple[str | None, Backlog]:
    try:
        backlog = await aws.queues.backlog(url)
        if label is None and backlog.visible:
            label = await _label_inside(aws, url)
    except NotProvisionedError:
        # Deleted, or rung for by someone whose job never came.
        return label, Backlog(0, 0)
    return label, backlog


async def _label_inside(aws: Aws, url: str) -> str | None:
    """The label of a queue whose name does not tell it, by one of its jobs; it is rung for, and known from then on."""
    body = await aws.queues.peek(url)
    try:
        return Job.decode(body).label if body is not None else None
    except DecodeError as error:
        log.warning("a message in %s belongs to no label: %s", url, error)
        return None
