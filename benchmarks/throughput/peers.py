"""Task queues from PyPI on SQS, one after the other, each in its own environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from inference_engine.aws.schema import jobs_table
from inference_engine.aws.transport import ThreadTransport
from inference_engine.errors import LocalStackError

from ..deployment import EmulatedDeployment, deployment
from ..peers import environments, processes
from ..peers.environments import Peer
from ..peers.processes import ContenderError
from ..proc import tree_cpu_seconds
from ..report import Report
from .measure import Contender, Result, Size
from .progress import say

#: While a worker thread waits for AWS, another can run.
THREADS = 8

_CELERY = ("-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "--loglevel", "WARNING")
_CELERY_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
_TASKIQ = ("-m", "taskiq", "worker", "benchmarks.peers.taskiq_app:broker", "--workers", "1", "--log-level", "WARNING")


@dataclass(frozen=True, slots=True)
class Setting:
    """A peer as it is measured: its consumer's arguments, its producer's module, variables of both."""

    name: str
    peer: Peer
    consume: Sequence[str]
    produce: str
    variables: dict[str, str] = field(default_factory=dict)


CELERY_THREADS = Setting(
    f"Celery, {THREADS} threads",
    environments.CELERY,
    (*_CELERY, "--pool", "threads", "--concurrency", str(THREADS), *_CELERY_QUIET),
    "benchmarks.peers.celery_app",
    {"BENCH_PREFETCH": "10"},
)
SETTINGS = (
    Setting(
        "Celery, solo",
        environments.CELERY,
        (*_CELERY, "--pool", "solo", *_CELERY_QUIET),
        "benchmarks.peers.celery_app",
    ),
    CELERY_THREADS,
    Setting(
        f"dramatiq, {THREADS} threads",
        environments.DRAMATIQ,
        ("-m", "dramatiq", "benchmarks.peers.dramatiq_app", "--processes", "1", "--threads", str(THREADS)),
        "benchmarks.peers.dramatiq_app",
    ),
    Setting("taskiq", environments.TASKIQ, _TASKIQ, "benchmarks.peers.taskiq_app"),
    Setting(
        "taskiq, sends in batches", environments.TASKIQ, _TASKIQ, "benchmarks.peers.taskiq_app", {"BENCH_BATCHES": "1"}
    ),
)


def one_by_one(size: Size, report: Report) -> dict[str, Result]:
    """The results, by setting. The report's notes list each peer that does not install or run here."""
    results = {}
    for setting in SETTINGS:
        say(f"{setting.name}: {size.runs} runs of {size.peer_jobs} jobs")
        try:
            results[setting.name] = _measure(setting, size)
        except (LocalStackError, ContenderError) as problem:
            report.notes.append(not_measured(setting.name, problem))
        else:
            report.versions |= setting.peer.versions()
    return results


def not_measured(name: str, problem: Exception) -> str:
    """The report's note on a peer that does not install or run here: the reason without the log."""
    line = -1 if isinstance(problem, ContenderError) else 0
    return f"{name} was not measured: {str(problem).splitlines()[line].strip()}"


def _measure(setting: Setting, size: Size) -> Result:
    result = Result(setting.name)
    with deployment() as deployed, running(deployed, setting) as contender:
        contender.warm()
        result.runs = [contender.run(size.peer_jobs) for _ in range(size.runs)]
        result.posts = [contender.post() for _ in range(size.peer_posts)]
    with deployment(counted=True) as deployed, running(deployed, setting) as contender:
        assert deployed.proxy is not None
        contender.warm()
        result.requests = contender.requests(size.peer_jobs // 4, deployed.proxy.calls)
    return result


@contextmanager
def running(deployed: EmulatedDeployment, setting: Setting) -> Iterator[Contender]:
    """A consumer and a producer of one setting. Raises LocalStackError if the peer can't be installed."""
    python = str(setting.peer.python(say))
    asyncio.run(provision())
    environment = processes.module_environment({**os.environ, **deployed.environment(), **setting.variables})
    with (
        processes.consumer([python, *setting.consume], environment) as consumer,
        processes.producer([python, "-m", setting.produce], environment, consumer) as producer,
    ):
        pid = consumer.pid
        assert pid is not None
        yield Contender(setting.name, producer, lambda: tree_cpu_seconds(pid))


async def provision() -> None:
    """Make the queue and tables of the peers: a worker and a producer that both made them would conflict."""
    transport = ThreadTransport()
    try:
        for name, key in (
            ("celery-results", "id"),
            ("dramatiq-results", "message_id"),
            ("taskiq-results", "message_id"),
        ):
            await transport.call("dynamodb", "create_table", **(jobs_table(name) | _key(key)))
        await transport.call("sqs", "create_queue", QueueName="taskiq-bench")
    finally:
        await transport.close()


def _key(name: str) -> dict[str, Any]:
    return {
        "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"}],
    }
