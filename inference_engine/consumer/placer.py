"""One consumer's part in placement: which load requests it takes, and how it answers them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from enum import Enum

from ..aio.tasks import TaskSet
from ..deployment import Deployment
from ..errors import BackendLostError, DecodeError, LabelError, ModelLoadError, TransportError
from ..fleet import placement
from ..fleet.load_requests import LoadRequest
from ..fleet.placement import ConsumerCapacity
from ..fleet.view import Fleet
from .loading import Loader
from .membership import Membership
from .metrics import ConsumerMetrics
from .rebalancing import Rebalancing
from .slots import Slots

log = logging.getLogger(__name__)

#: A request that cannot be served now is retried after this.
LATER_SECONDS = 1
#: A request older than this is checked against the label's queue before a model is loaded for it …
DOUBT_AFTER_SECONDS = 1.5
#: … and from this age dropped if there is no work. A younger one is retried: SQS's counts lag behind recent sends.
VOID_AFTER_SECONDS = 10.0
#: A consumer that does not wait on the placement queue reads the fleet at least this often.
LOOK_MAX_SECONDS = 8.0
#: After a request that no better-placed consumer took in time, this one waits on the queue for this long whatever its rank.
PRESSED_SECONDS = 10.0


class RequestAnswer(Enum):
    """How this consumer answers a load request that it took."""

    SETTLED = "off the queue"
    LATER = "comes again after a while"
    OUT_OF_TURN = "left to a consumer that is better placed"


class Placer:
    """Takes load requests when it is this consumer's turn, makes room and loads."""

    def __init__(
        self,
        deployment: Deployment,
        slots: Slots,
        capacity: ConsumerCapacity,
        metrics: ConsumerMetrics,
        membership: Membership,
        loader: Loader,
    ) -> None:
        self._deployment = deployment
        self._settings = deployment.settings
        self._slots = slots
        self._capacity = capacity
        self._membership = membership
        self._loader = loader
        self._consumer_id = membership.consumer_id
        self._look_seconds = self._settings.placement_interval_seconds
        self._looked_at: tuple[object, ...] = ()
        self._pressed_until = 0.0
        self._someone_waited = False
        #: Set once it takes part no more, and has answered the requests that it took.
        self.ended = asyncio.Event()
        self._answers: TaskSet[list[RequestAnswer]] = TaskSet()
        self._rebalancing = Rebalancing(deployment, slots, metrics, membership, loader)

    async def run(self) -> None:
        """Take part in placement until this consumer drains and has answered the requests that it took."""
        try:
            while not self._membership.draining:
                try:
                    await self._turn()
                except (TransportError, LabelError, DecodeError) as error:
                    log.warning("placement failed, will be retried: %s", error)
                    await asyncio.sleep(LATER_SECONDS)
            await asyncio.gather(*self._answers)
        finally:
            await self._answers.close()
            self.ended.set()

    async def _turn(self) -> None:
        interval = self._settings.placement_interval_seconds
        own = self._membership.view()
        able = own.free_slots > 0 or own.coldest_at is not None
        if not self._membership.available:
            await asyncio.sleep(interval)
            return
        fleet = await self._membership.fleet(interval / 2 if able else self._settings.lease_seconds / 2)
        await self._rebalancing.check(fleet)
        if not able:
            await self._make_room()
            await asyncio.sleep(interval)
        elif self._waits_for_requests(fleet):
            await self._take(fleet)
        else:
            await asyncio.sleep(self._until_next_look(fleet))

    def _waits_for_requests(self, fleet: Fleet) -> bool:
        now = time.time()
        return now < self._pressed_until or placement.waits_for_requests(fleet, self._consumer_id, now)

    def _until_next_look(self, fleet: Fleet) -> float:
        """Seconds until the next look: short after a change in the fleet, longer and longer while nothing changes."""
        seen = tuple((view.consumer_id, view.loading, tuple(view.loaded)) for view in fleet.consumers)
        changed, self._looked_at = seen != self._looked_at, seen
        interval = self._settings.placement_interval_seconds
        self._look_seconds = interval if changed else min(self._look_seconds * 2, max(interval, LOOK_MAX_SECONDS))
        return self._look_seconds

    async def _take(self, fleet: Fleet) -> None:
        """Wait for load requests and decide on them. Their labels load while this consumer takes more requests."""
        requests = await self._deployment.load_polls.take(self._settings.wait_time_seconds, self._appetite(fleet))
        by_label: dict[str, list[LoadRequest]] = {}
        for request in requests:
            by_label.setdefault(request.label, []).append(request)
        begun = [self._begin(same) for same in by_label.values()]
        await asyncio.gather(*(decided.wait() for _, decided in begun))
        if any(answer.done() and RequestAnswer.OUT_OF_TURN in answer.result() for answer, _ in begun):
            # A better-placed consumer can take the request now. Without the wait, this one would only receive it again.
            interval = self._settings.placement_interval_seconds
            await asyncio.sleep(
                min(self._min_request_age(await self._membership.fleet(interval)) or interval, interval)
            )

    def _begin(self, requests: list[LoadRequest]) -> tuple[asyncio.Task[list[RequestAnswer]], asyncio.Event]:
        """Answer requests for one label; the event is set once it is decided whether they get a slot."""
        decided = asyncio.Event()
        answer = self._answers.start(self._answer_in_order(requests, decided.set))
        answer.add_done_callback(lambda _: decided.set())
        return answer, decided

    def _appetite(self, fleet: Fleet) -> int:
        """How many requests to take at once: as many as this consumer would be the best place for.

        If no better-placed consumer took a request in time, all are its own, up to the number of its idle labels.
        """
        now = time.time()
        others = [view for view in fleet.live(now) if view.consumer_id != self._consumer_id]
        mine = self._membership.view().free_slots
        if mine:
            most = max((view.free_slots for view in others), default=0)
            return max(1, mine - most + 1) if most else mine
        warmer = min((view.coldest_at for view in others if view.coldest_at is not None), default=math.inf)
        if now < self._pressed_until:
            warmer = math.inf
        return max(1, sum(label.idle and label.last_used <= warmer for label in self._slots.held()))

    async def _answer_in_order(self, requests: list[LoadRequest], reserved: Callable[[], None]) -> list[RequestAnswer]:
        """Answer the requests for one label one by one: the outcome of the first settles the next."""
        return [await self._answer_safely(request, reserved) for request in requests]

    async def _answer_safely(self, request: LoadRequest, reserved: Callable[[], None]) -> RequestAnswer:
        try:
            answer = await self._answer(request, reserved)
        except (TransportError, BackendLostError) as error:
            log.warning("load request not served: %s", error, extra={"label": request.label})
            answer = RequestAnswer.LATER
        except Exception:
            # An unexpected error in the backend with one label must not stop this consumer from placing the others.
            log.exception("load request not served", extra={"label": request.label})
            answer = RequestAnswer.LATER
        with contextlib.suppress(TransportError):
            if answer is RequestAnswer.SETTLED:
                await self._deployment.load_requests.done(request)
            else:
                await self._deployment.load_requests.hand_back(
                    request, LATER_SECONDS if answer is RequestAnswer.LATER else 0
                )
        return answer

    async def _answer(self, request: LoadRequest, reserved: Callable[[], None]) -> RequestAnswer:
        label, now = request.label, time.time()
        fleet = await self._membership.fleet()
        settings = await self._deployment.registry.label(label)
        wanted = min(request.holders, settings.lanes)
        if len(fleet.holders(label, now)) >= wanted:
            return RequestAnswer.SETTLED
        if label in self._slots:
            return RequestAnswer.LATER
        if not self._my_turn(fleet, request) or self._rebalancing.leaves(label, fleet):
            return RequestAnswer.OUT_OF_TURN
        if self._min_request_age(fleet):
            self._pressed_until = now + PRESSED_SECONDS
        if (void := await self._is_void(request)) is not None:
            return void
        failure = await self._deployment.registry.failure(label)
        if failure is not None and failure.tries >= self._settings.max_load_tries:
            await self._loader.fail_jobs(label, failure)
            return RequestAnswer.SETTLED

        def choose() -> list[str] | None:
            victims = self._choose(fleet, request)
            # The chosen labels are reserved in the same step.
            asyncio.get_running_loop().call_soon(reserved)
            return victims

        try:
            loaded = await self._loader.load(settings, wanted, fleet, choose)
            if loaded and failure is not None:
                await self._deployment.registry.succeeded(label)
        except ModelLoadError:
            return await self._not_loaded(label)
        finally:
            await self._membership.publish()
        return RequestAnswer.SETTLED if loaded else RequestAnswer.LATER

    async def _not_loaded(self, label: str) -> RequestAnswer:
        """After `max_load_tries` failed loads, on whichever consumers, fail the label's jobs with the reason."""
        failure = await self._deployment.registry.failure(label)
        if failure is None or failure.tries < self._settings.max_load_tries:
            return RequestAnswer.LATER
        await self._loader.fail_jobs(label, failure)
        return RequestAnswer.SETTLED

    def _choose(self, fleet: Fleet, request: LoadRequest) -> list[str] | None:
        """The labels to evict if it is still this consumer's turn: another request may just have taken its coldest one."""
        if not self._my_turn(fleet.with_view(self._membership.view()), request):
            return None
        size = self._loader.sizes.get(request.label) or self._size_elsewhere(fleet, request.label)
        return placement.victims(self._slots.held(), self._capacity, size)

    def _min_request_age(self, fleet: Fleet) -> float:
        """How old (seconds) a request must be before this consumer takes it; 0 when it is its turn."""
        return placement.min_request_age_seconds(
            fleet,
            self._consumer_id,
            time.time(),
            interval_seconds=self._settings.placement_interval_seconds,
            idle_seconds=self._settings.placement_idle_seconds,
        )

    def _my_turn(self, fleet: Fleet, request: LoadRequest) -> bool:
        """Whether the request is old enough to take although another consumer may be better placed."""
        return time.time() - request.requested_at >= self._min_request_age(fleet)

    async def _is_void(self, request: LoadRequest) -> RequestAnswer | None:
        """The answer to a request whose label's work was done while it waited: loading the label would serve nobody.

        None for a request that must be served.
        """
        age = time.time() - request.requested_at
        if request.holders > 1 or age < DOUBT_AFTER_SECONDS:
            return None
        url = await self._deployment.queues.of_label(request.label, create=True)
        if (await self._deployment.queues.backlog(url)).total:
            return None
        return RequestAnswer.SETTLED if age >= VOID_AFTER_SECONDS else RequestAnswer.LATER

    @staticmethod
    def _size_elsewhere(fleet: Fleet, label: str) -> int:
        sizes = (view.loaded[label].size_bytes for view in fleet.consumers if label in view.loaded)
        return max(sizes, default=0)

    async def _make_room(self) -> None:
        """Every slot is busy: if a request waits that no consumer can take, evict the label that has had its turn.

        A request must be there at two looks in a row: one that has only now arrived may still find a place.
        """
        turned = placement.turn_over(self._slots.held(), time.time(), self._settings.turn_min_seconds)
        if turned is None:
            return
        fleet = await self._membership.fleet(self._settings.placement_interval_seconds / 2)
        waits = not placement.order(fleet, time.time()) and await self._deployment.load_requests.waiting() > 0
        if waits and self._someone_waited:
            log.info("label has had its turn; evicting it for a waiting label", extra={"label": turned})
            await self._loader.give_up(turned)
            await self._membership.publish()
        self._someone_waited = waits and not self._someone_waited
