"""SQS FIFO queues in memory, as far as the library uses them (SQS Developer Guide, "Amazon SQS FIFO queues").

A group with messages in flight returns nothing more; a receive returns up to ten messages, as many as possible of one group;
deduplication ids are remembered per group for five minutes; receipt handles expire with the visibility timeout. An available
message ends a long poll. The cost of a call depends neither on the backlog nor on the number of queues. Not
simulated: retention, size limits.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass, field

#: SQS Developer Guide, "Exactly-once processing": five minutes.
DEDUPLICATION_SECONDS = 300.0
#: SQS API Reference, ReceiveMessage: at most ten messages.
RECEIVE_MAX = 10


@dataclass(eq=False, slots=True)
class Message:
    """A message on its queue; `visible_at` is on the loop's clock."""

    message_id: str
    body: str
    group: str
    sequence: int
    sent_at: float
    receive_count: int = 0
    receipt: str = ""
    visible_at: float = 0.0


@dataclass(eq=False, slots=True)
class _Group:
    """The messages of one group: `flying` blocks `waiting`; `back` became visible again while others were still in flight."""

    name: str
    waiting: deque[Message] = field(default_factory=deque)
    flying: dict[str, Message] = field(default_factory=dict)
    back: list[Message] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


@dataclass(eq=False, slots=True)
class _Poll:
    future: asyncio.Future[list[Message]]
    most: int
    visibility_seconds: float


class Queue:
    """One FIFO queue."""

    __slots__ = (
        "_available",
        "_flying",
        "_groups",
        "_polls",
        "_seen",
        "_seen_order",
        "_sequence",
        "attributes",
        "dead_letters",
        "max_receive_count",
        "name",
        "visible",
    )

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.dead_letters: Queue | None = None
        self.max_receive_count = 0
        self.visible = 0
        self._sequence = 0
        self._groups: dict[str, _Group] = {}
        #: Groups that a receive may take from, the group that has been available longest first.
        self._available: dict[str, _Group] = {}
        self._flying: dict[str, _Group] = {}
        self._polls: dict[_Poll, None] = {}
        self._seen: dict[tuple[str, str], str] = {}
        self._seen_order: deque[tuple[float, tuple[str, str]]] = deque()

    @property
    def in_flight(self) -> int:
        """Messages that were received and are neither deleted nor visible again."""
        return len(self._flying)

    def send(self, body: str, group: str, deduplication_id: str) -> str:
        """The id of the message, or of the message that it repeats. Call `offer` when the whole batch is sent."""
        now, key = time.time(), (group, deduplication_id)
        while self._seen_order and self._seen_order[0][0] <= now:
            self._seen.pop(self._seen_order.popleft()[1], None)
        if key in self._seen:
            return self._seen[key]
        message_id = str(uuid.uuid4())
        self._seen[key] = message_id
        self._seen_order.append((now + DEDUPLICATION_SECONDS, key))
        self.put(message_id, body, group)
        return message_id

    def put(self, message_id: str, body: str, group: str) -> None:
        """Append a message that already has an id."""
        self._sequence += 1
        target = self._groups.setdefault(group, _Group(group))
        target.waiting.append(Message(message_id, body, group, self._sequence, time.time()))
        self.visible += 1
        if not target.flying:
            self._available.setdefault(group, target)

    def offer(self) -> None:
        """Hand available messages to the waiting polls, the oldest poll first."""
        while self._available and self._polls:
            poll = next(iter(self._polls))
            del self._polls[poll]
            if not poll.future.done() and (messages := self._take(poll.most, poll.visibility_seconds)):
                poll.future.set_result(messages)

    async def receive(self, most: int, wait_seconds: float, visibility_seconds: float) -> list[Message]:
        """Up to `most` messages, now or within `wait_seconds`."""
        if messages := self._take(min(most, RECEIVE_MAX), visibility_seconds):
            return messages
        if not wait_seconds:
            return []
        loop = asyncio.get_running_loop()
        poll = _Poll(loop.create_future(), min(most, RECEIVE_MAX), visibility_seconds)
        self._polls[poll] = None
        timer = loop.call_later(wait_seconds, _come_back_empty, poll)
        try:
            return await poll.future
        finally:
            timer.cancel()
            self._polls.pop(poll, None)

    def delete(self, receipt: str) -> bool:
        """Delete a message from the queue; False if the receipt handle has expired."""
        group = self._flying.pop(receipt, None)
        if group is None:
            return False
        del group.flying[receipt]
        self._settle(group)
        return True

    def hide(self, receipt: str, seconds: float) -> bool:
        """Make a message visible `seconds` from now; False if the receipt handle has expired."""
        group = self._flying.get(receipt)
        if group is None:
            return False
        group.flying[receipt].visible_at = asyncio.get_running_loop().time() + seconds
        self._expire(group)
        return True

    def _take(self, most: int, visibility_seconds: float) -> list[Message]:
        taken: list[Message] = []
        while self._available and len(taken) < most:
            name = next(iter(self._available))
            group = self._available.pop(name)
            while group.waiting and len(taken) < most:
                message = group.waiting.popleft()
                self.visible -= 1
                if self._is_dead(message):
                    continue
                self._fly(group, message, visibility_seconds)
                taken.append(message)
            if group.flying:
                self._watch(group)
            else:
                self._settle(group)
        return taken

    def _is_dead(self, message: Message) -> bool:
        if self.dead_letters is None or message.receive_count < self.max_receive_count:
            return False
        self.dead_letters.put(message.message_id, message.body, message.group)
        self.dead_letters.offer()
        return True

    def _fly(self, group: _Group, message: Message, visibility_seconds: float) -> None:
        message.receive_count += 1
        message.receipt = f"{message.message_id}/{message.receive_count}"
        message.visible_at = asyncio.get_running_loop().time() + visibility_seconds
        group.flying[message.receipt] = message
        self._flying[message.receipt] = group

    def _watch(self, group: _Group) -> None:
        """Set a timer for when the first in-flight message of a group becomes visible."""
        at = min(message.visible_at for message in group.flying.values())
        if group.timer is None or group.timer.when() > at:
            if group.timer is not None:
                group.timer.cancel()
            group.timer = asyncio.get_running_loop().call_at(at, self._time_out, group)

    def _time_out(self, group: _Group) -> None:
        group.timer = None
        self._expire(group)

    def _expire(self, group: _Group) -> None:
        now = asyncio.get_running_loop().time()
        for message in [message for message in group.flying.values() if message.visible_at <= now]:
            del group.flying[message.receipt], self._flying[message.receipt]
            group.back.append(message)
            self.visible += 1
        self._settle(group)

    def _settle(self, group: _Group) -> None:
        """After messages left or came back: keep the group locked, make it available, or forget it if it is empty."""
        if group.flying:
            self._watch(group)
            return
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
        group.waiting.extendleft(sorted(group.back, key=lambda message: -message.sequence))
        group.back.clear()
        if group.waiting:
            self._available.setdefault(group.name, group)
            self.offer()
        elif self._groups.get(group.name) is group:
            del self._groups[group.name]


def _come_back_empty(poll: _Poll) -> None:
    if not poll.future.done():
        poll.future.set_result([])
