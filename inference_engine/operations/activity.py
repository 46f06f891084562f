"""Finds the labels that have work, and measures that work.

In a deployment with many labels, reading every queue each minute would cost more than the jobs. So this reads the queues of the
labels that consumers hold, of those that a load request was sent for, and one page of all queues, continuing where the last
search ended. That search finds a job whose producer died between sending it and requesting the load.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..aws.queues import Backlog
from ..aws.schema import PLACEMENT_RETENTION_SECONDS
from ..deployment import Deployment
from ..errors import DecodeError, LabelError, NotProvisionedError, TransportError
from ..fleet.load_requests import Waiting
from ..fleet.view import Fleet, LoadFailure
from ..jobs.job import Job
from ..labels import dead_letter_queue_name, label_of_queue, placement_queue_name, queue_name
from .backlog import LabelWork, label_work
from .overview import Overview

log = logging.getLogger(__name__)

#: Another request is sent for a waiting label when its last one is this long ago, and this share of its whole wait …
REQUEST_AGAIN_SECONDS = 50.0
REQUEST_AGAIN_SHARE = 0.2
#: … but at the latest while its last request is still on the placement queue.
REQUEST_AGAIN_MAX_SECONDS = PLACEMENT_RETENTION_SECONDS / 2


@dataclass(frozen=True, slots=True)
class Activity:
    """Everything that was read at `at` (Unix seconds).

    `fleet` covers all cells. `unread` are the labels whose queue could not be read.
    """

    labels: tuple[LabelWork, ...]
    fleet: Fleet
    waiting: tuple[Waiting, ...]
    failures: tuple[LoadFailure, ...]
    at: float
    unread: tuple[str, ...] = ()

    def to_request(self) -> list[str]:
        """Waiting labels without a recent load request; the longer a label waits, the less often one is sent.

        This covers requests that never reached the placement queue, or that expired there.
        """
        rows = {row.label: row for row in self.waiting}
        return [work.label for work in self.labels if work.unserved and self._due(rows.get(work.label))]

    def overview(self, before: Overview | None = None) -> Overview:
        """The overview for people; rates need the one shown `before`."""
        return Overview.of(self.fleet, self.labels, self.failures, now=self.at, before=before, unread=self.unread)

    def _due(self, row: Waiting | None) -> bool:
        if row is None:
            return True
        pause = min(max(REQUEST_AGAIN_SECONDS, (self.at - row.since) * REQUEST_AGAIN_SHARE), REQUEST_AGAIN_MAX_SECONDS)
        return self.at - row.requested_at >= pause

    def served(self) -> list[Waiting]:
        """Rows of labels that no longer wait."""
        # Jobs in flight whose label nobody holds belong to a consumer that died.
        served = {work.label for work in self.labels if work.holders or not work.jobs}
        return [row for row in self.waiting if row.label in served]


async def read_activity(deployment: Deployment, *, sweep_queues: int) -> Activity:
    """The work of every label that is held, was requested, or is among the next `sweep_queues` of all queues.

    Labels whose queue cannot be read are in `Activity.unread`. Raises TransportError where the registry or the placement queue
    cannot be read.
    """
    fleet, waiting, label_settings, failures, swept = await asyncio.gather(
        deployment.registry.whole_fleet(deployment.settings.cells),
        deployment.waiting.all(),
        deployment.registry.labels(),
        deployment.registry.failures(),
        _sweep(deployment, sweep_queues),
    )
    now = time.time()
    since = {row.label: row.since for row in waiting}
    lanes = {one.label: one.lanes for one in label_settings}
    backlogs = await _backlogs(deployment, {*_held(fleet), *since}, set(lanes), swept)
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
        if backlog is not None
    ]
    unread = tuple(sorted(label for label, backlog in backlogs.items() if backlog is None))
    return Activity(tuple(work), fleet, tuple(waiting), tuple(failures), now, unread)


def _held(fleet: Fleet) -> set[str]:
    """Labels of all consumers, including dead ones, whose rows and jobs remain for a while."""
    return {label for view in fleet.consumers for label in (*view.loaded, *view.loading)}


async def _sweep(deployment: Deployment, most: int) -> list[str]:
    """URLs of the next queues; none if SQS or the cursor cannot be read."""
    if not most:
        return []
    begin = f"{deployment.settings.prefix}-"
    try:
        token = await deployment.waiting.cursor()
        try:
            urls, following = await deployment.queues.listed(begin, most, token)
        except TransportError as error:
            if token is None:
                raise
            # A token may expire.
            log.info("the search through all queues restarts from the beginning: %s", error)
            urls, following = await deployment.queues.listed(begin, most, None)
        if following != token:
            await deployment.waiting.move_cursor(following)
    except TransportError as error:
        log.warning("the search through all queues is skipped this time: %s", error)
        return []
    return urls


async def _backlogs(
    deployment: Deployment, labels: set[str], known: set[str], swept: Sequence[str]
) -> dict[str, Backlog | None]:
    """The backlog of each of `labels` and of the labels of swept queues; None for queues that could not be read."""
    prefix = deployment.settings.prefix
    # A queue's URL ends with its name (SQS Developer Guide, "Queue and message identifiers"): one look-up is enough for all.
    placement = await deployment.queues.named(placement_queue_name(prefix, 0, deployment.settings.cells))
    account = placement.rpartition("/")[0]
    urls = {f"{account}/{queue_name(prefix, label)}": label for label in labels}
    names = {queue_name(prefix, label): label for label in known}
    found: dict[str, str | None] = dict(urls)
    for url in swept:
        name = url.rpartition("/")[2]
        label = names.get(name) or label_of_queue(prefix, name)
        if label != "":
            found.setdefault(f"{account}/{name}", label)
    read = await asyncio.gather(*(_backlog(deployment, url, label, ours=url in urls) for url, label in found.items()))
    return {label: backlog for label, backlog in read if label is not None}


async def _backlog(
    deployment: Deployment, url: str, label: str | None, *, ours: bool
) -> tuple[str | None, Backlog | None]:
    """A queue's label and backlog; None for what is unknown. Unless it is `ours`, the queue is checked to belong here."""
    try:
        backlog = await deployment.queues.backlog(url)
        if not ours and backlog.dead_letter_queue != dead_letter_queue_name(deployment.settings.prefix):
            # It belongs to a deployment whose prefix begins with ours.
            return None, None
        if label is None and backlog.visible:
            label = await _label_inside(deployment, url)
    except NotProvisionedError:
        # Deleted, or requested by a producer whose job never arrived.
        return label, Backlog(0, 0)
    except TransportError as error:
        # One queue that cannot be read must not hide all others.
        log.warning("backlog not read: %s", error, extra={"label": label})
        return label, None
    return label, backlog


async def _label_inside(deployment: Deployment, url: str) -> str | None:
    """The label of a queue whose name does not show it, read from one of its jobs. After the load request it is known."""
    body = await deployment.queues.peek(url)
    try:
        label = Job.decode(body).label if body is not None else None
        if label is None or url.endswith(f"/{queue_name(deployment.settings.prefix, label)}"):
            return label
        log.warning("a message in %s has the label %r, which has another queue", url, label)
    except (DecodeError, LabelError) as error:
        log.warning("the label of a message in %s cannot be read: %s", url, error)
    return None
