"""Jobs that are on their queue, and whose callers know the message id before they wait for the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..jobs.job import Job, Response


@dataclass(eq=False, slots=True)
class SentJob:
    """A job, without its body, and whether it has a record by which others find it."""

    message_id: str
    job: Job
    recorded: bool = False


class AsyncSubmission:
    """A job that `AsyncProducer.submit` has put on its queue.

    The job runs whether anybody waits or not. While it waits for a consumer, it has no record: `retrieve_result` and `cancel`
    raise UnknownMessageError for its id. From the first `wait` that ends without a result, it has one.
    """

    def __init__(
        self, sent: SentJob, wait: Callable[[SentJob, float | None, Awaitable[object] | None], Awaitable[Response]]
    ) -> None:
        self._sent = sent
        self._wait = wait

    def __repr__(self) -> str:
        return f"{type(self).__name__}(message_id={self.message_id!r})"

    @property
    def message_id(self) -> str:
        """The SQS message id, under which the result is kept."""
        return self._sent.message_id

    async def wait(self, timeout_seconds: float | None = None, *, until: Awaitable[object] | None = None) -> Response:
        """Wait for the Response at most `timeout_seconds`, by default the producer's timeout.

        The wait also ends when `until` is done: a future or task, which is left as it is, or a coroutine such as
        `event.wait()`, which is cancelled when the wait ends. What it returns or raises does not matter.

        An unfinished job continues. Its Response has its status, and `status_code` 202 where `until` ended the wait, 500 and
        the error ResultTimeoutError after the timeout. Raises TransportError.
        """
        return await self._wait(self._sent, timeout_seconds, until)


class Submission:
    """A job that `Producer.submit` has put on its queue: AsyncSubmission for threads. A forked process may wait for it too."""

    def __init__(self, sent: SentJob, wait: Callable[[SentJob, float | None], Response]) -> None:
        self._sent = sent
        self._wait = wait

    def __repr__(self) -> str:
        return f"{type(self).__name__}(message_id={self.message_id!r})"

    @property
    def message_id(self) -> str:
        """The SQS message id, under which the result is kept."""
        return self._sent.message_id

    def wait(self, timeout_seconds: float | None = None) -> Response:
        """Wait for the Response at most `timeout_seconds`, by default the producer's timeout. See AsyncSubmission.wait.

        A thread that must be able to stop waits in short steps: only the first that ends without a result writes a record.
        """
        return self._wait(self._sent, timeout_seconds)
