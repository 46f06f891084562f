"""A backend without a model keeps the rules of those that have one."""

from __future__ import annotations

import argparse
import time

import pytest

from benchmarks.simulation import clock
from inference_engine.backends.base import LoadedModel, Work
from inference_engine.backends.simulated import SimulatedBackend
from inference_engine.cli import build_parser
from inference_engine.cli.consume import _backend
from inference_engine.errors import BackendError
from inference_engine.settings import Settings


async def test_jobs_answer_with_what_they_were_given() -> None:
    backend = SimulatedBackend()
    await backend.start()
    assert await backend.load("m") == LoadedModel("m")
    result = await backend.infer(Work("id", "m", {"n": 1}))
    assert result == {"simulated": True, "label": "m", "body": {"n": 1}}
    await backend.close()


async def test_a_label_must_be_loaded_and_may_be_unloaded_twice() -> None:
    backend = SimulatedBackend()
    await backend.load("m")
    await backend.unload("m")
    await backend.unload("m")
    with pytest.raises(BackendError, match="'m' is not loaded"):
        await backend.infer(Work("id", "m", None))


def test_jobs_and_loads_take_their_time_and_a_second_load_takes_none() -> None:
    async def moments() -> list[float]:
        backend = SimulatedBackend(job_seconds=20, load_seconds=3600)
        found = [time.monotonic()]
        for step in (backend.load("m"), backend.infer(Work("id", "m", None)), backend.load("m")):
            await step
            found.append(time.monotonic())
        return found

    assert clock.run(moments()) == pytest.approx([0, 3600, 3620, 3620], abs=0.01)


@pytest.mark.parametrize(("text", "seconds"), [("0.1", (0.1, 0.0)), ("0", (0.0, 0.0)), ("0.1,2", (0.1, 2.0))])
def test_the_command_line_makes_one(text: str, seconds: tuple[float, float]) -> None:
    arguments: argparse.Namespace = build_parser().parse_args(["consume", "--simulate", text])
    backend = _backend(arguments, Settings())
    assert isinstance(backend, SimulatedBackend)
    assert (backend.job_seconds, backend.load_seconds) == seconds
